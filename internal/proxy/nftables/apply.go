package nftables

import (
	"context"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// bulk is how many elements a transaction takes where they need not come into force together: enough for the cost of a
// transaction to disappear, few enough for the buffer to stay below a megabyte.
const bulk = 10000

// unusedRest is how long a chain stays after the last element that led to it is gone: longer than a packet can be under
// way between the two.
const unusedRest = time.Second

// apply makes the kernel's tables equal to what the changes want. First come endpoints whose keys are new, if they are
// many, and new chains, since nothing leads to them yet; then all the rest in one transaction; then chains that nothing
// has led to for a while.
//
// The chains are apart because a packet that is under way while a transaction comes into force sees elements as they
// are and chains as they were: where both are new, it would find a new chain empty, and pass untranslated.
// And a chain that is deleted at once would be empty for a packet that has already seen the element leading to it.
func (b *Backend) apply(ctx context.Context, changes []*change) (plan.Report, error) {
	var report plan.Report
	var tx nft.Transaction
	for _, c := range changes {
		if err := b.applyBulk(ctx, c, &tx, &report); err != nil {
			return report, err
		}
	}
	for _, c := range changes {
		c.addNewChains(&tx)
	}
	if err := b.run(ctx, &tx, &report); err != nil {
		return report, err
	}
	for _, c := range changes {
		c.start(&tx)
		c.addChains(&tx)
		c.changeElements(&tx)
	}
	if err := b.run(ctx, &tx, &report); err != nil {
		return report, err
	}
	for _, c := range changes {
		if err := b.deleteChains(ctx, c, &tx, &report); err != nil {
			return report, err
		}
	}
	return report, nil
}

// run runs a transaction that is not empty, and empties it.
func (b *Backend) run(ctx context.Context, tx *nft.Transaction, report *plan.Report) error {
	defer tx.Reset()
	if tx.Len() == 0 {
		return nil
	}
	if err := b.kernel.Run(ctx, tx); err != nil {
		return err
	}
	b.generation++
	report.Operations += tx.Len()
	return nil
}

// applyBulk adds new endpoints, if there are very many, ahead of all else. Not where the table is made anew: until the
// new one is complete, the old one stays.
func (b *Backend) applyBulk(ctx context.Context, c *change, tx *nft.Transaction, report *plan.Report) error {
	count := 0
	c.eachNewEndpoint(func(setID, delta) { count++ })
	if count <= bulk || c.remake {
		return nil
	}
	var err error
	c.start(tx)
	c.eachNewEndpoint(func(id setID, d delta) {
		if err != nil {
			return
		}
		c.element(tx, id, d)
		if tx.Len() >= bulk {
			err = b.run(ctx, tx, report)
		}
	})
	if err == nil {
		err = b.run(ctx, tx, report)
	}
	for id := range setCount {
		if id.holdsEndpoints() && c.have.elements[id].Len() == 0 {
			c.have.elements[id] = c.want.elements[id]
		} else if id.holdsEndpoints() {
			c.have.elements[id].merge(&c.want.elements[id])
		}
	}
	return err
}

// eachNewEndpoint visits the endpoints whose keys the kernel does not have.
func (c *change) eachNewEndpoint(visit func(setID, delta)) {
	for id := range setCount {
		if id.holdsEndpoints() {
			diff(&c.have.elements[id], &c.want.elements[id], func(d delta) {
				if d.have == nil {
					visit(id, d)
				}
			})
		}
	}
}

// start makes the table and its sets, where they are not there yet.
func (c *change) start(tx *nft.Transaction) {
	t := c.family.table
	if c.remake {
		tx.DeleteTable(t)
		c.remake = false
	}
	if !c.make {
		return
	}
	tx.AddTable(t)
	for i := range c.family.sets {
		tx.AddSet(t, &c.family.sets[i])
	}
	c.make = false
}

// addNewChains makes chains that are not there yet, with their rules, unless the whole table is to be made.
func (c *change) addNewChains(tx *nft.Transaction) {
	if c.make {
		return
	}
	var added []*chain
	for _, name := range sortedNames(c.want.chains) {
		if want := c.want.chains[name]; c.have.chains[name] == nil {
			tx.AddChain(c.family.table, want.Chain)
			added = append(added, want)
			c.have.chains[name] = want
		}
	}
	c.addRules(tx, added)
}

// addChains makes new chains and replaces the rules of those that changed.
func (c *change) addChains(tx *nft.Transaction) {
	t := c.family.table
	var write []*chain
	for _, name := range sortedNames(c.want.chains) {
		want, have := c.want.chains[name], c.have.chains[name]
		switch {
		case have == nil:
			tx.AddChain(t, want.Chain)
		case have.same(want):
			continue
		default:
			tx.FlushChain(t, name)
		}
		write = append(write, want)
	}
	c.addRules(tx, write)
}

func (c *change) addRules(tx *nft.Transaction, chains []*chain) {
	for _, chain := range chains {
		for _, r := range chain.rules {
			tx.AddRule(c.family.table, r)
		}
	}
}

func sortedNames(chains map[string]*chain) []string {
	names := make([]string, 0, len(chains))
	for name := range chains {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// changeElements deletes first: an element whose data change is deleted and added.
func (c *change) changeElements(tx *nft.Transaction) {
	for id := range setCount {
		diff(&c.have.elements[id], &c.want.elements[id], func(d delta) {
			if d.have != nil {
				tx.DeleteElement(c.family.table, &c.family.sets[id], d.have[:c.have.elements[id].key])
			}
		})
	}
	for id := range setCount {
		diff(&c.have.elements[id], &c.want.elements[id], func(d delta) {
			if d.want != nil {
				c.element(tx, id, d)
			}
		})
	}
}

// element adds an element.
func (c *change) element(tx *nft.Transaction, id setID, d delta) {
	length := c.want.elements[id].key
	set := &c.family.sets[id]
	key, data := d.want[:length], d.want[length:]
	if set.IsVerdictMap() {
		tx.AddVerdict(c.family.table, set, key, c.symbols.verdict(data))
	} else {
		tx.AddElement(c.family.table, set, key, data)
	}
}

// deleteChains deletes the chains that nothing has led to for a while. Where the kernel has not let go of one yet, the
// next Sync tries again: kernels before 6.2 hold a chain for a moment after the element that led to it is gone.
func (b *Backend) deleteChains(ctx context.Context, c *change, tx *nft.Transaction, report *plan.Report) error {
	f, now := c.family, time.Now()
	for name, have := range c.have.chains {
		if c.want.chains[name] == nil && f.unused[name] == nil {
			have.unusedSince = now
			f.unused[name] = have
		}
	}
	for name := range c.want.chains {
		delete(f.unused, name)
	}
	var names []string
	for _, name := range sortedNames(f.unused) {
		if now.Sub(f.unused[name].unusedSince) >= b.rest {
			names = append(names, name)
			tx.FlushChain(f.table, name)
		}
	}
	for _, name := range names {
		tx.DeleteChain(f.table, name)
	}
	err := b.run(ctx, tx, report)
	if nft.IsBusy(err) {
		b.log.Debug("chains are still in use by the kernel, deleting them later", "chains", names)
		return nil
	}
	if err == nil {
		for _, name := range names {
			delete(f.unused, name)
		}
	}
	return err
}
