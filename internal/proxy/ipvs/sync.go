package ipvs

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// change is what one family holds, and what it shall hold.
type change struct {
	family     *family
	layout     layout
	have, want *state
	// rules are to be made sure of; nil: they have not changed.
	rules *rules
}

// syncAll compares a whole plan with what the kernel really holds.
func (b *Backend) syncAll(ctx context.Context, p *plan.Plan) (plan.Report, error) {
	var report plan.Report
	if err := b.prepare(ctx); err != nil {
		return report, err
	}
	var changes []*change
	for _, f := range b.families {
		c, err := b.compareAll(ctx, f, p)
		if err == nil {
			err = b.build(ctx, c, &report)
		}
		if b.isMissing(f, p, err) {
			continue
		}
		if err != nil {
			return report, err
		}
		changes = append(changes, c)
	}
	if err := b.takeOver(ctx); err != nil {
		return report, err
	}
	for _, c := range changes {
		if err := b.lead(ctx, c, &report); err != nil {
			return report, err
		}
	}
	return report, b.dismiss(ctx, changes, &report)
}

// compareAll observes the kernel and renders the plan. Pools keep the numbers that they have in the kernel.
func (b *Backend) compareAll(ctx context.Context, f *family, p *plan.Plan) (*change, error) {
	f.missing = false
	c := &change{family: f, layout: newLayout(p.Node.MasqueradeBit)}
	f.ids = newNumbers()
	if f.ports.isFull() {
		f.ports = &affinityPorts{numbers: map[uint16]uint32{}}
	}
	have, err := b.observe(ctx, f, c.layout)
	if err != nil {
		return nil, err
	}
	f.adopt(c.layout, have, p)
	r := f.renderer(b.config.Scheduler, c.layout)
	r.static(p.Node)
	for _, ref := range sortedRefs(p) {
		s, _ := p.Services.Get(ref)
		r.render(s)
	}
	f.counted = r.out.counted
	r.out.addCounted()
	r.out.sort()
	c.have, c.want = have, r.out
	c.rules = f.rules(c.layout, p.Node)
	return c, nil
}

func (f *family) renderer(scheduler string, l layout) *renderer {
	return &renderer{layout: l, family: f, scheduler: scheduler, out: newState()}
}

func (f *family) rules(l layout, n plan.Node) *rules {
	return newRules(rules{layout: l, family: f.model, node: n, sets: f.sets, ports: f.ports.numbers})
}

// adopt gives the pools of a plan the numbers by which the kernel knows them, from the marks of their frontends.
// Numbers of virtual servers that no frontend leads to stay taken.
func (f *family) adopt(l layout, have *state, p *plan.Plan) {
	marks := map[plan.Key]uint32{}
	marksHere := map[plan.Key]uint32{}
	f.keysOf(have, frontends, nodePorts, marks)
	f.keysOf(have, frontendsHere, nodePortsHere, marksHere)
	for _, ref := range sortedRefs(p) {
		s, _ := p.Services.Get(ref)
		for _, fr := range s.Frontends {
			if fr.Pool != plan.NoPool {
				f.ids.adopt(keyOf(ref, &s.Pools[fr.Pool]), l.idOf(marks[fr.Key]))
			}
			if fr.LocalClientPool != plan.NoPool {
				f.ids.adopt(keyOf(ref, &s.Pools[fr.LocalClientPool]), l.idOf(marksHere[fr.Key]))
			}
		}
	}
	for mark := range have.pools {
		f.ids.reserve(l.idOf(mark))
	}
}

// keysOf collects the marks of frontends by key.
func (f *family) keysOf(s *state, exact, anyNode setID, marks map[plan.Key]uint32) {
	for _, e := range s.entries[exact] {
		marks[plan.Key{Addr: e.Net.Addr(), Port: e.Port, Protocol: model.Protocol(e.Protocol)}] = e.Mark
	}
	for _, e := range s.entries[anyNode] {
		if e.Net.Addr().IsUnspecified() {
			marks[plan.Key{Addr: e.Net.Addr(), Port: e.Port, Protocol: model.Protocol(e.Protocol)}] = e.Mark
		}
	}
}

// sortedRefs returns the names of all Services in order, so that rendering is deterministic.
func sortedRefs(p *plan.Plan) []model.Ref {
	refs := make([]model.Ref, 0, p.Services.Len())
	for ref := range p.Services.All() {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, compareRefs)
	return refs
}

func compareRefs(a, b model.Ref) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
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
	var report plan.Report
	var changes []*change
	for _, f := range b.families {
		if f.missing {
			continue
		}
		c := b.compare(f, p, changed)
		if err := b.apply(ctx, c, &report); err != nil {
			return report, err
		}
		changes = append(changes, c)
	}
	return report, b.dismiss(ctx, changes, &report)
}

// compare renders Services of two plans. What they share with Services that did not change stays out of it.
func (b *Backend) compare(f *family, p *plan.Plan, changed []model.Ref) *change {
	c := &change{family: f, layout: newLayout(p.Node.MasqueradeBit)}
	before, after := f.renderer(b.config.Scheduler, c.layout), f.renderer(b.config.Scheduler, c.layout)
	ports := len(f.ports.numbers)
	for _, ref := range changed {
		if s, ok := b.last.Services.Get(ref); ok {
			before.render(s)
		}
		if s, ok := p.Services.Get(ref); ok {
			after.render(s)
		}
	}
	c.have, c.want = before.out, after.out
	if len(f.ports.numbers) != ports {
		c.rules = f.rules(c.layout, p.Node)
	}
	f.count(c)
	c.have.sort()
	c.want.sort()
	return c
}

// count moves the counts of shared entries from what Services asked for to what they ask for, and leaves in the change
// only entries that nobody asked for before, or that nobody asks for any more.
func (f *family) count(c *change) {
	was := map[countedEntry]int{}
	for _, delta := range []struct {
		counts map[countedEntry]int
		sign   int
	}{{c.have.counted, -1}, {c.want.counted, 1}} {
		for k, n := range delta.counts {
			if _, ok := was[k]; !ok {
				was[k] = f.counted[k]
			}
			f.counted[k] += delta.sign * n
		}
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
