package ipvs

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// apply makes the kernel hold what a change wants, from the end of a packet's way to its beginning: real servers first,
// then what leads to them, and last it takes away what nothing leads to any more.
func (b *Backend) apply(ctx context.Context, c *change, report *plan.Report) error {
	if err := b.build(ctx, c, report); err != nil {
		return err
	}
	return b.lead(ctx, c, report)
}

// build makes all that new entries of sets are going to lead to.
func (b *Backend) build(ctx context.Context, c *change, report *plan.Report) error {
	if err := b.run(ctx, c.additions(), report); err != nil {
		return err
	}
	if c.rules != nil {
		changed, err := b.deps.Routes.DeliverMarked(c.family.model, c.layout.route)
		if err != nil {
			return err
		}
		if changed {
			report.Operations++
		}
		if err := b.writeRules(ctx, c.family, c.rules, report); err != nil {
			return err
		}
	}
	return nil
}

// takeOver has the rules of other modes taken away before the first packet is marked: IPVS would take a packet by its mark
// that they have translated already, and send it elsewhere.
func (b *Backend) takeOver(ctx context.Context) error {
	if b.deps.TakeOver == nil || b.tookOver {
		return nil
	}
	if err := b.deps.TakeOver(ctx); err != nil {
		return fmt.Errorf("take over from another mode: %w", err)
	}
	b.tookOver = true
	return nil
}

// lead changes the entries of sets, and removes what they do not lead to any more. An entry that changes its mark changes
// it at once, so a frontend leads to its old or to its new pool at any time.
func (b *Backend) lead(ctx context.Context, c *change, report *plan.Report) error {
	if err := b.applyEntries(ctx, c, report); err != nil {
		return err
	}
	retired, removed := c.removals()
	if err := b.run(ctx, retired, report); err != nil || len(removed) == 0 {
		return err
	}
	if err := wait(ctx, b.replies); err != nil {
		return err
	}
	return b.run(ctx, removed, report)
}

// replyPatience is how long a UDP endpoint that gets no new connections stays: with it goes all that the kernel
// remembers of its connections, so that replies on their way would not be translated back. Most come within it.
const replyPatience = 50 * time.Millisecond

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run makes changes of IPVS.
func (b *Backend) run(ctx context.Context, changes []ipvs.Change, report *plan.Report) error {
	if len(changes) == 0 {
		return nil
	}
	report.Operations += len(changes)
	return b.deps.Servers.Run(ctx, changes)
}

// additions returns new virtual servers and real servers.
func (c *change) additions() []ipvs.Change {
	var list []ipvs.Change
	for _, mark := range sortedMarks(c.want.pools) {
		want := c.want.pools[mark]
		there := c.family.servers[mark]
		switch have := c.have.pools[mark]; {
		case there == nil:
			there = &present{}
			c.family.servers[mark] = there
			list = append(list, ipvs.Change{Op: ipvs.AddService, Service: want.Service})
		case have == nil || have.Service != want.Service:
			list = append(list, ipvs.Change{Op: ipvs.SetService, Service: want.Service})
		}
		diff(c.have.pools[mark].all(), want.endpoints, netip.AddrPort.Compare, func(_, added *netip.AddrPort) {
			if added == nil {
				return
			}
			op := ipvs.AddDestination
			if there.leaving[*added] {
				op = ipvs.SetDestination
				delete(there.leaving, *added)
			}
			list = append(list, ipvs.Change{Op: op, Service: want.Service, Destination: ipvs.Destination{Addr: *added, Weight: 1}})
		})
	}
	return list
}

// removals takes real servers out: all get weight 0 first, and those whose connections do not outlive them are removed
// after that, with their virtual server if nothing shall be left of it.
func (c *change) removals() (retired, removed []ipvs.Change) {
	for _, mark := range sortedMarks(c.have.pools) {
		have, want, there := c.have.pools[mark], c.want.pools[mark], c.family.servers[mark]
		graceful := have.graceful
		if want != nil {
			graceful = want.graceful
		}
		diff(have.endpoints, want.all(), netip.AddrPort.Compare, func(gone, _ *netip.AddrPort) {
			if gone == nil {
				return
			}
			change := ipvs.Change{Op: ipvs.SetDestination, Service: have.Service, Destination: ipvs.Destination{Addr: *gone}}
			retired = append(retired, change)
			if graceful {
				there.leave(*gone)
			} else if want != nil {
				change.Op = ipvs.DeleteDestination
				removed = append(removed, change)
			}
		})
		if want == nil && (!graceful || len(have.endpoints)+len(there.leaving) == 0) {
			removed = append(removed, ipvs.Change{Op: ipvs.DeleteService, Service: have.Service})
			c.family.forget(c.layout, mark)
		}
	}
	return retired, removed
}

// all returns the endpoints of a virtual server that may not be there.
func (s *server) all() []netip.AddrPort {
	if s == nil {
		return nil
	}
	return s.endpoints
}

// applyEntries changes the sets: what says more about frontends first, and what it adds first.
func (b *Backend) applyEntries(ctx context.Context, c *change, report *plan.Report) error {
	var added, gone [setCount][]ipset.Entry
	for id := range setCount {
		diff(c.have.entries[id], c.want.entries[id], ipset.Entry.Compare, func(had, has *ipset.Entry) {
			if has != nil {
				added[id] = append(added[id], *has)
			} else {
				gone[id] = append(gone[id], *had)
			}
		})
		report.Operations += len(added[id]) + len(gone[id])
		if len(added[id]) == 0 {
			continue
		}
		if err := b.deps.Sets.Add(ctx, c.family.sets[id], added[id]); err != nil {
			return err
		}
	}
	for id := setCount - 1; id >= 0; id-- {
		if len(gone[id]) == 0 {
			continue
		}
		if err := b.deps.Sets.Delete(ctx, c.family.sets[id], gone[id]); err != nil {
			return err
		}
	}
	return nil
}

// diff calls visit for what differs between two sorted lists: with what is only in have, with what is only in want, and
// with both where they have the same key.
func diff[T comparable](have, want []T, compare func(a, b T) int, visit func(have, want *T)) {
	i, j := 0, 0
	for i < len(have) || j < len(want) {
		order := 0
		switch {
		case i == len(have):
			order = 1
		case j == len(want):
			order = -1
		default:
			order = compare(have[i], want[j])
		}
		switch {
		case order < 0:
			visit(&have[i], nil)
			i++
		case order > 0:
			visit(nil, &want[j])
			j++
		default:
			if have[i] != want[j] {
				visit(&have[i], &want[j])
			}
			i, j = i+1, j+1
		}
	}
}

func sortedMarks(pools map[uint32]*server) []uint32 { return slices.Sorted(maps.Keys(pools)) }
