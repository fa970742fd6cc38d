package iptables

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// sync compares everything with the kernel where it has to, and else only what changed with what was written before.
func (b *Backend) sync(ctx context.Context, u plan.Update) (plan.Report, error) {
	var report plan.Report
	all := b.last == nil || u.Full || !reflect.DeepEqual(b.last.Node, u.Plan.Node)
	before, err := b.stampsNow(ctx)
	if err != nil {
		return report, err
	}
	for i, f := range b.families {
		switch {
		case f.missing:
		case all:
			err = b.syncAll(ctx, f, u.Plan, &report)
		default:
			err = b.syncChanged(ctx, f, u.Plan, u.Changed, &report)
		}
		if err != nil {
			return report, err
		}
		if all {
			b.stamps[i] = before[i]
		}
	}
	if all {
		b.followLoopback(u.Plan.Node)
		if b.fullLists, err = b.kernel.FullLists(clientLists); err != nil {
			b.log.Debug("cannot see whether lists of clients are full", "error", err)
			err = nil
		}
	}
	// Where others changed something before this Sync, the old stamps stay, so that Intact says so.
	if report.Operations > 0 && b.stamps == before {
		b.stamps, err = b.stampsNow(ctx)
	}
	return report, err
}

// stampsNow returns the fingerprints of both families' tables.
func (b *Backend) stampsNow(ctx context.Context) (now [2]iptables.Stamp, err error) {
	for i, f := range b.families {
		if f.missing {
			continue
		}
		if now[i], err = b.kernel.Stamp(ctx, f.model); err != nil {
			return now, fmt.Errorf("look at the %s tables: %w", f.model, err)
		}
	}
	return now, nil
}

// syncAll makes a family's tables equal to a plan, given what they really hold.
func (b *Backend) syncAll(ctx context.Context, f *family, p *plan.Plan, report *plan.Report) error {
	r := f.renderer(p.Node)
	f.plant(r, p)
	nat, natHas, err := b.compare(ctx, f, r, "nat", f.everything(r, p))
	if err != nil {
		return err
	}
	filter, filterHas, err := b.compare(ctx, f, r, "filter", r.fixed("filter"))
	if err != nil {
		return err
	}
	if b.last != nil {
		report.Repaired += differences(f.have, natHas) + differences(f.filter, filterHas)
		if reflect.DeepEqual(b.last.Node, p.Node) {
			report.Repaired += len(nat.insert) + len(nat.remove) + len(filter.insert) + len(filter.remove)
		}
	}
	if slices.Contains(filter.gone, martians) {
		// Before the guard goes: without it, others on the link could reach what listens on loopback.
		if err := b.sysctl.SetInt(routeLocalnet, 0); err != nil {
			return err
		}
	}
	nat.list = b.listing != fails && b.kernel.Variant() == iptables.NFT && len(nat.write) > max(bulk, len(natHas))
	if err := b.restore(ctx, f, r, report, filter, nat); err != nil {
		return err
	}
	f.have, f.filter = nat.sums, filter.sums
	if nat.list && b.listing == untried {
		return b.verify(ctx, f, r, p, report)
	}
	return nil
}

// bulk is how many chains are so many that iptables-nft-restore is slow at them: see change.list.
const bulk = 1000

// trust is what is known of a trick.
type trust uint8

const (
	untried trust = iota
	works
	fails
)

// verify reads the nat table after change.list was used for the first time, and makes up for what it did not do.
func (b *Backend) verify(ctx context.Context, f *family, r *renderer, p *plan.Plan, report *plan.Report) error {
	c, _, err := b.compare(ctx, f, r, "nat", f.everything(r, p))
	if err != nil {
		return err
	}
	b.listing = works
	if !c.empty() {
		b.listing = fails
		b.log.Warn("iptables-nft-restore did not do all that it was told; telling it again, which takes longer", "chains", len(c.write))
	}
	return b.restore(ctx, f, r, report, c)
}

// compare returns what has to change in a table so that it holds the wanted chains, and what it holds. The sums of the
// change are those of the chains that stay as they are.
func (b *Backend) compare(ctx context.Context, f *family, r *renderer, table string, want []wanted) (*change, map[string]uint64, error) {
	have, err := b.observe(ctx, f, table)
	if err != nil {
		return nil, nil, fmt.Errorf("read the %s rules of table %s: %w", f.model, table, err)
	}
	c := &change{table: table, sums: map[string]uint64{}}
	descending(want)
	c.write = b.differing(r, want, have.sums, c.sums)
	for name := range have.sums {
		if !contains(want, name) {
			c.gone = append(c.gone, name)
		}
	}
	slices.Sort(c.gone)
	c.rejump(have.jumps, r.jumps())
	return c, have.sums, nil
}

// contains reports whether a chain is in a list that descending has sorted.
func contains(list []wanted, name string) bool {
	_, ok := slices.BinarySearchFunc(list, name, func(w wanted, name string) int {
		switch {
		case w.name > name:
			return -1
		case w.name < name:
			return 1
		}
		return 0
	})
	return ok
}

// differing returns the chains whose rules the kernel does not have, and puts the hashes of the others into same.
func (b *Backend) differing(r *renderer, want []wanted, have, same map[string]uint64) []wanted {
	var write []wanted
	t := &text{}
	for i := range want {
		name := want[i].name
		sum, there := have[name]
		if i > 0 && want[i-1].name == name {
			b.log.Error("two chains have the same name; the first is kept", "bug", true, "chain", name)
			continue
		}
		if !there {
			write = append(write, want[i])
			continue
		}
		t.reset()
		r.render(t, &want[i])
		if t.sum(b.seed) == sum {
			same[name] = sum
		} else {
			write = append(write, want[i])
		}
	}
	return write
}

// differences counts the chains that are not the same.
func differences(a, b map[string]uint64) int {
	n := 0
	for name, sum := range a {
		if other, ok := b[name]; !ok || other != sum {
			n++
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			n++
		}
	}
	return n
}

// syncChanged goes from the last plan to the next by writing the chains of Services that changed, and the parts of the
// trees that lead to them.
func (b *Backend) syncChanged(ctx context.Context, f *family, p *plan.Plan, changed []model.Ref, report *plan.Report) error {
	changed = slices.Clone(changed)
	slices.SortFunc(changed, compareRefs)
	changed = slices.Compact(changed)
	r := f.renderer(p.Node)
	old := map[string]bool{}
	var chains []owned
	var want []wanted
	for _, ref := range changed {
		if s, ok := b.last.Services.Get(ref); ok {
			for _, o := range r.owned(chains[:0], s) {
				old[o.name] = true
			}
		}
		if s, ok := p.Services.Get(ref); ok {
			for _, o := range r.owned(chains[:0], s) {
				want = append(want, wanted{table: "nat", name: o.name, owned: o})
			}
		}
	}
	nodes, gone := f.graft(r, b.last, p, changed)
	want = append(want, nodes...)
	descending(want)
	c := &change{table: "nat", sums: map[string]uint64{}}
	c.write = b.differing(r, want, f.have, c.sums)
	for name := range old {
		if !contains(want, name) {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	c.gone = gone
	if err := b.restore(ctx, f, r, report, c); err != nil {
		return err
	}
	maps.Copy(f.have, c.sums)
	for _, name := range gone {
		delete(f.have, name)
	}
	return nil
}
