package nftables

import (
	"context"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// change is what one family's table holds, and what it shall hold. A chain of have that is not in want is unused.
type change struct {
	family     *family
	symbols    *symbols
	have, want *ruleset
	// make is true where there is no table yet; remake where it has to be deleted first.
	make, remake bool
}

// syncAll compares a whole plan with what the kernel really holds.
func (b *Backend) syncAll(ctx context.Context, p *plan.Plan) (plan.Report, error) {
	generation, err := b.kernel.Generation(ctx)
	if err != nil {
		return plan.Report{}, err
	}
	b.generation = generation
	var changes []*change
	for _, f := range b.families {
		if f.missing {
			continue
		}
		c, err := b.compareAll(ctx, f, p)
		if err != nil {
			return plan.Report{}, err
		}
		changes = append(changes, c)
	}
	report, err := b.apply(ctx, changes)
	if err == nil {
		b.last = p
		err = b.forgetAll(ctx, p)
	}
	return report, err
}

func (b *Backend) compareAll(ctx context.Context, f *family, p *plan.Plan) (*change, error) {
	c := &change{family: f, symbols: newSymbols()}
	f.ids, f.built = newAffinityIDs(), map[string]*chain{}
	r := f.renderer(p, c.symbols)
	r.reserve(p)
	r.static()
	for _, ref := range sortedRefs(p) {
		s, _ := p.Services.Get(ref)
		r.render(s)
	}
	f.counted = r.out.counted
	r.out.addCounted()
	r.out.sort()
	for id := range r.out.elements {
		if n := r.out.elements[id].compact(); n > 0 {
			b.log.Error("the plan has elements with the same key; the first of each is kept", "bug", true,
				"set", f.sets[id].Name, "dropped", n)
		}
	}
	have, err := b.observe(ctx, f, c.symbols, r.out)
	if err != nil {
		return nil, err
	}
	c.have, c.want = have.ruleset, r.out
	f.chains = map[string]int{}
	for name, chain := range r.out.chains {
		f.chains[name] = chain.uses
	}
	if foreign := have.foreign; have.there {
		if foreign == "" {
			foreign = foreignChain(c.have, c.want)
		}
		if foreign != "" {
			b.log.Info("rebuilding the nftables table", "table", f.table.String(), "reason", foreign)
			c.remake, c.have = true, newRuleset(f.sets)
		}
	}
	c.make = !have.there || c.remake
	for name := range f.unused {
		if c.have.chains[name] == nil {
			delete(f.unused, name)
		}
	}
	return c, nil
}

// sortedRefs returns the names of all Services in order, so that rendering is deterministic.
func sortedRefs(p *plan.Plan) []model.Ref {
	refs := make([]model.Ref, 0, p.Services.Len())
	for ref := range p.Services.All() {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b model.Ref) int {
		if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return refs
}

func (f *family) renderer(p *plan.Plan, sym *symbols) *renderer {
	return &renderer{
		rules: rules{f.table.Family, p.Node, f.handover}, ids: f.ids, built: f.built, symbols: sym, out: newRuleset(f.sets),
	}
}

// syncChanged goes from the last plan to the next by rendering only the Services that changed, as they were and as they
// shall be.
func (b *Backend) syncChanged(ctx context.Context, p *plan.Plan, changed []model.Ref) (plan.Report, error) {
	seen := map[model.Ref]bool{}
	changed = slices.DeleteFunc(slices.Clone(changed), func(r model.Ref) bool {
		again := seen[r]
		seen[r] = true
		return again
	})
	var changes []*change
	for _, f := range b.families {
		if !f.missing {
			changes = append(changes, f.compare(b.last, p, changed))
		}
	}
	report, err := b.apply(ctx, changes)
	if err != nil {
		return report, err
	}
	old := b.last
	b.last = p
	return report, b.forgetChanged(ctx, old, p, changed)
}

// compare renders Services of two plans. What they share with Services that did not change stays out of it.
func (f *family) compare(old, next *plan.Plan, changed []model.Ref) *change {
	c := &change{family: f, symbols: newSymbols()}
	before, after := f.renderer(old, c.symbols), f.renderer(next, c.symbols)
	for _, ref := range changed {
		if s, ok := old.Services.Get(ref); ok {
			before.render(s)
		}
		if s, ok := next.Services.Get(ref); ok {
			after.render(s)
		}
	}
	c.have, c.want = before.out, after.out
	f.count(c)
	f.countChains(c)
	c.have.sort()
	c.want.sort()
	return c
}

// count moves the counts of shared elements from what Services asked for to what they ask for, and leaves in the
// change only elements that nobody asked for before, or that nobody asks for any more.
func (f *family) count(c *change) {
	was := map[countedKey]int{}
	for k, n := range c.have.counted {
		was[k] = f.counted[k]
		f.counted[k] -= n
	}
	for k, n := range c.want.counted {
		if _, ok := was[k]; !ok {
			was[k] = f.counted[k]
		}
		f.counted[k] += n
	}
	clear(c.have.counted)
	clear(c.want.counted)
	for k, n := range was {
		if n > 0 && f.counted[k] <= 0 {
			c.have.counted[k] = 1
		}
		if n <= 0 && f.counted[k] > 0 {
			c.want.counted[k] = 1
		}
		if f.counted[k] <= 0 {
			delete(f.counted, k)
		}
	}
	c.have.addCounted()
	c.want.addCounted()
}

// countChains does the same for chains. In have stay those that are in the kernel, in want those that shall be.
func (f *family) countChains(c *change) {
	uses := func(r *ruleset, name string) int {
		if chain := r.chains[name]; chain != nil {
			return chain.uses
		}
		return 0
	}
	names := map[string]bool{}
	for name := range c.have.chains {
		names[name] = true
	}
	for name := range c.want.chains {
		names[name] = true
	}
	for name := range names {
		was := f.chains[name]
		is := was - uses(c.have, name) + uses(c.want, name)
		f.chains[name] = is
		if is <= 0 {
			delete(f.chains, name)
		}
		f.placeChain(c, name, was > 0, is > 0)
	}
}

// placeChain puts a chain into have and want as the kernel has it and shall have it.
func (f *family) placeChain(c *change, name string, was, is bool) {
	have, want := c.have.chains[name], c.want.chains[name]
	switch {
	case !was && f.unused[name] != nil:
		c.have.chains[name] = f.unused[name]
	case !was:
		delete(c.have.chains, name)
	case have == nil:
		// Only Services that did not change used it up to now; it is as the ones that shall use it would have it.
		c.have.chains[name] = want
	}
	if is && want == nil {
		c.want.chains[name] = have
	}
	if !is {
		delete(c.want.chains, name)
	}
}
