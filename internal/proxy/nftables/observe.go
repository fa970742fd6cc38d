package nftables

import (
	"context"
	"fmt"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
)

// observeTries is how often the elements of a set are listed before giving up.
const observeTries = 20

// observed is what the kernel holds of a family's table.
type observed struct {
	*ruleset
	// there is false if there is no table; then the ruleset is empty.
	there bool
	// foreign says why the table cannot be changed into ours but must be built anew; empty: it can.
	foreign string
}

// observe reads a family's table, which is likely to hold about as much as expected.
func (b *Backend) observe(ctx context.Context, f *family, sym *symbols, expected *ruleset) (observed, error) {
	o := observed{ruleset: newRuleset(f.sets)}
	listing, err := b.kernel.List(ctx, f.table)
	if err != nil || listing == nil {
		return o, err
	}
	o.there = true
	if o.foreign = foreignSet(listing, f.sets); o.foreign != "" {
		return o, nil
	}
	for _, c := range listing.Chains {
		o.chains[c.Name] = &chain{Chain: c}
	}
	for _, r := range listing.Rules {
		if c := o.chains[r.Chain]; c != nil {
			// Only the digest counts from here on.
			c.rules = append(c.rules, nft.Rule{Digest: r.Digest})
		}
	}
	for id := range setCount {
		o.elements[id].buf = make([]byte, 0, len(expected.elements[id].buf))
		if err := b.observeElements(ctx, f, id, o.ruleset, sym); err != nil {
			return o, err
		}
	}
	return o, nil
}

// observeElements reads the elements of a set, sorted. The kernel lists a large set in pieces, and goes on by counting;
// where its hash table grows meanwhile, as it does for a moment after many additions, the order changes, and some
// elements are listed twice and as many not at all. Then the list is read again.
func (b *Backend) observeElements(ctx context.Context, f *family, id setID, r *ruleset, sym *symbols) error {
	set := &r.elements[id]
	verdicts := f.sets[id].IsVerdictMap()
	restart := func() { set.buf = set.buf[:0] }
	for range observeTries {
		restart()
		err := b.kernel.Elements(ctx, f.table, f.sets[id].Name, restart, func(e nft.Element) {
			set.buf = append(set.buf, e.Key...)
			if verdicts {
				set.buf = sym.record(set.buf, e.Verdict)
			} else {
				set.buf = append(set.buf, e.Data...)
			}
		})
		if err != nil {
			return err
		}
		set.sort()
		if !set.repeats() {
			return nil
		}
	}
	return fmt.Errorf("list the elements of %s in %s: the kernel lists some twice, %d times in a row",
		f.sets[id].Name, f.table, observeTries)
}

// foreignSet says in which set a table differs from what we would make, as that of another version of ours does.
func foreignSet(l *nft.Listing, sets []nft.Set) string {
	have := map[string]*nft.Set{}
	for i := range l.Sets {
		have[l.Sets[i].Name] = &l.Sets[i]
	}
	for i := range sets {
		switch s := have[sets[i].Name]; {
		case s == nil:
			return fmt.Sprintf("set %s is missing", sets[i].Name)
		case !s.SameLayout(&sets[i]):
			return fmt.Sprintf("set %s has another layout", sets[i].Name)
		}
		delete(have, sets[i].Name)
	}
	for name := range have {
		return fmt.Sprintf("set %s is not one of ours", name)
	}
	return ""
}

// foreignChain says which chain cannot be turned into what we want without making it anew.
func foreignChain(have, want *ruleset) string {
	for name, w := range want.chains {
		if h := have.chains[name]; h != nil && !h.sameBase(w) {
			return fmt.Sprintf("chain %s has another hook", name)
		}
	}
	for name, h := range have.chains {
		if want.chains[name] == nil && h.Hook != nil {
			// It could be deleted, but not before the transaction that makes the rest right.
			return fmt.Sprintf("chain %s is not one of ours", name)
		}
	}
	return ""
}
