package plan

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Planner keeps the plan of one node up to date with snapshots. The cost of an Apply is in proportion to what changed.
// It is not safe for concurrent use; the plans it returns are.
type Planner struct {
	config Config
	addrs  []netip.Addr
	silent Silence
	plan   *Plan    // of the last Apply; nil before the first
	view   NodeView // of the last Apply
	claims claims
}

// NewPlanner returns a planner for a node. addrs are the node's own addresses on all interfaces.
func NewPlanner(c Config, addrs []netip.Addr) *Planner {
	return &Planner{config: c, addrs: slices.Clone(addrs), claims: newClaims()}
}

// SetAddrs replaces the node's own addresses; the next Apply heeds them.
func (p *Planner) SetAddrs(addrs []netip.Addr) { p.addrs = slices.Clone(addrs) }

// SetSilent replaces the endpoints that do not answer this node; the next Apply heeds them, and plans anew only the
// Services that have one of those that became silent or answer again. s must not change afterwards.
func (p *Planner) SetSilent(s Silence) { p.silent = s }

// Apply returns the plan for a snapshot, given in what the snapshot differs from that of the Apply before (at the first
// call, everything does). changed names the Services whose plan differs, in order. full is true where the part of the
// plan that is common to all Services differs too, or anything may.
func (p *Planner) Apply(snap *model.Snapshot, ch model.Changes) (plan *Plan, changed []model.Ref, full bool) {
	var before Plan
	if p.plan != nil {
		before = *p.plan
	}
	node, _ := snap.Nodes.Get(p.config.NodeName)
	view := NodeView{Config: &p.config, Node: node, Addrs: p.addrs, Silent: p.silent}
	all := p.plan == nil || ch.All
	full = all
	next := before
	next.Node = BuildNode(view, values(snap.ServiceCIDRs))
	if !sameForServices(p.view, view) {
		all, full = true, true
	}
	if !sameForKernel(before.Node, next.Node) {
		full = true
	}
	dirty := append(refs(ch.Services), p.silent.difference(p.view.Silent).concerned(before.Services)...)
	p.view = view

	if all {
		dirty = everything(before.Services, snap.Services)
	}
	next.Services, changed = p.rebuild(before.Services, snap, dirty)
	p.plan = &next
	return p.plan, changed, full
}

// rebuild returns the plans of all Services, of which the dirty ones and those that win or lose a claim by them are
// built anew, and the names of those that came out different.
func (p *Planner) rebuild(services model.Table[model.Ref, *Service], snap *model.Snapshot, dirty []model.Ref) (model.Table[model.Ref, *Service], []model.Ref) {
	built := make(map[model.Ref]*Service, len(dirty))
	for _, ref := range dirty {
		built[ref] = Build(snap.View(ref), p.view)
	}
	for _, ref := range p.claims.update(snap, built) {
		if _, ok := built[ref]; !ok {
			built[ref] = Build(snap.View(ref), p.view)
		}
	}
	edit := new(model.Edit)
	var changed []model.Ref
	for ref, s := range built {
		s = p.claims.settle(snap, s)
		old, _ := services.Get(ref)
		switch {
		case equal(old, s):
			continue
		case s == nil:
			services = services.Without(ref)
		default:
			services = services.WithIn(edit, ref, s)
		}
		changed = append(changed, ref)
	}
	slices.SortFunc(changed, compareRefs)
	return services, changed
}

// sameForServices reports whether Build decides alike for two views of a node.
func sameForServices(a, b NodeView) bool {
	if a.Config == nil {
		return false
	}
	return a.zone() == b.zone() &&
		a.primary(model.IPv4) == b.primary(model.IPv4) && a.primary(model.IPv6) == b.primary(model.IPv6) &&
		a.localPods().Known(model.IPv4) == b.localPods().Known(model.IPv4) &&
		a.localPods().Known(model.IPv6) == b.localPods().Known(model.IPv6)
}

// sameForKernel reports whether two nodes ask the same of a kernel.
func sameForKernel(a, b Node) bool {
	a.LocalAddrs, b.LocalAddrs = nil, nil
	return reflect.DeepEqual(a, b)
}

// equal reports whether two plans of a Service, of which each may be nil, ask for the same. When the changes behind
// them happened does not count.
func equal(a, b *Service) bool {
	if a == nil || b == nil {
		return a == b
	}
	health := a.Health == nil && b.Health == nil || a.Health != nil && b.Health != nil && *a.Health == *b.Health
	return health && slices.Equal(a.ClusterIPs, b.ClusterIPs) && slices.Equal(a.Problems, b.Problems) &&
		slices.EqualFunc(a.Frontends, b.Frontends, equalFrontends) && slices.EqualFunc(a.Pools, b.Pools, equalPools)
}

func equalFrontends(a, b Frontend) bool {
	return a.Key == b.Key && a.PortName == b.PortName && a.Verdict == b.Verdict && a.Pool == b.Pool &&
		a.LocalClientPool == b.LocalClientPool && a.Masquerade == b.Masquerade && slices.Equal(a.Sources, b.Sources)
}

func equalPools(a, b Pool) bool {
	return a.PortName == b.PortName && a.Protocol == b.Protocol && a.Family == b.Family && a.Local == b.Local &&
		a.Affinity == b.Affinity && slices.Equal(a.Endpoints, b.Endpoints) && slices.Equal(a.Quarantined, b.Quarantined)
}

// everything returns the names in either table.
func everything(plans model.Table[model.Ref, *Service], services model.Table[model.Ref, *model.Service]) []model.Ref {
	out := make([]model.Ref, 0, services.Len())
	for ref := range services.All() {
		out = append(out, ref)
	}
	for ref := range plans.All() {
		if _, ok := services.Get(ref); !ok {
			out = append(out, ref)
		}
	}
	return out
}

func refs(set map[model.Ref]struct{}) []model.Ref {
	out := make([]model.Ref, 0, len(set))
	for ref := range set {
		out = append(out, ref)
	}
	return out
}

func values[K comparable, V any](t model.Table[K, V]) []V {
	out := make([]V, 0, t.Len())
	for _, v := range t.All() {
		out = append(out, v)
	}
	return out
}

func compareRefs(a, b model.Ref) int {
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}
