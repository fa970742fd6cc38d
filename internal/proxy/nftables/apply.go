package nftables

import (
	"context"
	"slices"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// bulk is how many elements a transaction takes where they need not come into force together: enough for the cost of a
// transaction to disappear, few enough for the buffer to stay below a megabyte.
const bulk = 10000

// apply makes the kernel's tables equal to what the changes want. First come endpoints whose keys are new, in as many
// transactions as it takes, since no frontend leads to them yet; then all the rest in one; then chains that nothing
// leads to any more, which kernels before 6.2 do not let go of in the same transaction.
func (b *Backend) apply(ctx context.Context, changes []*change) (plan.Report, error) {
	var report plan.Report
	var tx nft.Transaction
	for _, c := range changes {
		if err := b.applyBulk(ctx, c, &tx, &report); err != nil {
			return report, err
		}
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
	for _, chain := range write {
		for _, r := range chain.rules {
			tx.AddRule(t, r)
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

// deleteChains deletes the chains that nothing leads to any more, as soon as the kernel lets go of them: kernels before
// 6.2 hold them for a moment after the element that led to them is gone.
func (b *Backend) deleteChains(ctx context.Context, c *change, tx *nft.Transaction, report *plan.Report) error {
	f := c.family
	for name, have := range c.have.chains {
		if c.want.chains[name] == nil {
			f.unused[name] = have
		} else {
			delete(f.unused, name)
		}
	}
	for name := range c.want.chains {
		delete(f.unused, name)
	}
	names := sortedNames(f.unused)
	for _, name := range names {
		tx.FlushChain(f.table, name)
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
		clear(f.unused)
	}
	return err
}
