package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

// cluster is a source in miniature: it makes snapshots and tells what changed.
type cluster struct {
	snap    model.Snapshot
	changes model.Changes
}

func newCluster() *cluster {
	c := &cluster{}
	c.snap.Nodes = c.snap.Nodes.With("n1", &model.Node{Name: "n1", Zone: "a", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.11")}})
	return c
}

func (c *cluster) touch(r model.Ref) {
	if c.changes.Services == nil {
		c.changes.Services = map[model.Ref]struct{}{}
	}
	c.changes.Services[r] = struct{}{}
}

func (c *cluster) set(s *model.Service, endpoints ...model.Endpoint) {
	c.snap.Services = c.snap.Services.With(s.Ref, s)
	c.setEndpoints(s.Ref, endpoints...)
}

func (c *cluster) setEndpoints(r model.Ref, endpoints ...model.Endpoint) {
	c.snap.Slices = c.snap.Slices.With(r, []*model.EndpointSlice{{
		Ref: r, Service: r.Name, Family: model.IPv4,
		Ports:     []model.EndpointPort{{Protocol: model.TCP, Port: 8080}},
		Endpoints: endpoints,
	}})
	c.touch(r)
}

func (c *cluster) remove(r model.Ref) {
	c.snap.Services = c.snap.Services.Without(r)
	c.touch(r)
}

// next returns the snapshot and what changed since the last call.
func (c *cluster) next() (*model.Snapshot, model.Changes) {
	snap, ch := c.snap, c.changes
	c.changes = model.Changes{}
	return &snap, ch
}

func service(name string, index int, externalIPs ...string) *model.Service {
	s := &model.Service{
		Ref:        model.Ref{Namespace: "ns", Name: name},
		ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(index >> 8), byte(index)})},
		Ports:      []model.ServicePort{{Protocol: model.TCP, Port: 80}},
	}
	for _, ip := range externalIPs {
		s.ExternalIPs = append(s.ExternalIPs, netip.MustParseAddr(ip))
	}
	return s
}

func endpoint(last byte) model.Endpoint {
	return model.Endpoint{
		Addr:       netip.AddrFrom4([4]byte{10, 244, 1, last}),
		Conditions: model.Ready | model.Serving,
		Placement:  &model.Placement{Node: fmt.Sprintf("n%d", last%3), ZoneHints: []string{string('a' + rune(last%2))}},
	}
}

// TestIncrementalEqualsFull drives a planner through random changes, with many claims to few external addresses, and
// compares its plan each time with one made from nothing.
func TestIncrementalEqualsFull(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	c := newCluster()
	incremental := NewPlanner(Config{NodeName: "n1"}, nil)
	for step := range 2000 {
		for range 1 + rng.IntN(3) {
			randomChange(rng, c)
		}
		if rng.IntN(4) == 0 {
			incremental.SetSilent(silence(endpoint(byte(rng.IntN(9))).Addr.String()+":8080", endpoint(byte(rng.IntN(9))).Addr.String()+":8080"))
		}
		snap, ch := c.next()
		var before Plan
		if incremental.plan != nil {
			before = *incremental.plan
		}
		got, changed, _ := incremental.Apply(snap, ch)
		fresh := NewPlanner(Config{NodeName: "n1"}, nil)
		fresh.SetSilent(incremental.silent)
		want, _, _ := fresh.Apply(snap, model.Changes{})
		if diff := cmp.Diff(want.Dump(), got.Dump()); diff != "" {
			t.Fatalf("step %d: (-from nothing +incremental)\n%s", step, diff)
		}
		if diff := cmp.Diff(differing(before, *got), changed); diff != "" {
			t.Fatalf("step %d: changed (-want +got)\n%s", step, diff)
		}
	}
}

func randomChange(rng *rand.Rand, c *cluster) {
	i := rng.IntN(12)
	ref := model.Ref{Namespace: "ns", Name: fmt.Sprintf("s%d", i)}
	switch rng.IntN(8) {
	case 0:
		c.remove(ref)
	case 1, 2:
		c.setEndpoints(ref, endpoint(byte(rng.IntN(9))), endpoint(byte(rng.IntN(9))))
	case 3:
		node := *values(c.snap.Nodes)[0]
		node.Zone = string('a' + rune(rng.IntN(3)))
		c.snap.Nodes = c.snap.Nodes.With("n1", &node)
		c.changes.Nodes = map[string]struct{}{"n1": {}}
	default:
		s := service(ref.Name, i, fmt.Sprintf("203.0.113.%d", rng.IntN(3)), fmt.Sprintf("10.96.0.%d", rng.IntN(3)))
		s.Created = time.Unix(int64(rng.IntN(3)), 0)
		c.set(s, endpoint(byte(rng.IntN(9))))
	}
}

// differing returns the names of Services whose plans differ, in order.
func differing(a, b Plan) []model.Ref {
	var out []model.Ref
	for i := range 12 {
		ref := model.Ref{Namespace: "ns", Name: fmt.Sprintf("s%d", i)}
		x, _ := a.Services.Get(ref)
		y, _ := b.Services.Get(ref)
		if !equal(x, y) {
			out = append(out, ref)
		}
	}
	slices.SortFunc(out, compareRefs)
	return out
}

// TestOlderServiceKeepsContestedAddress follows a contested external IP from one Service to the next.
func TestOlderServiceKeepsContestedAddress(t *testing.T) {
	c := newCluster()
	p := NewPlanner(Config{NodeName: "n1"}, nil)
	young, old := service("a-young", 1, "203.0.113.9"), service("b-old", 2, "203.0.113.9")
	young.Created, old.Created = time.Unix(200, 0), time.Unix(100, 0)
	c.set(young, endpoint(1))
	plan, _, _ := p.Apply(c.next())
	expectServed(t, plan, "203.0.113.9:80", "a-young")

	c.set(old, endpoint(2))
	plan, changed, full := p.Apply(c.next())
	expectServed(t, plan, "203.0.113.9:80", "b-old")
	if full || len(changed) != 2 {
		t.Errorf("changed %v, full %t; want both Services and not full", changed, full)
	}
	expectServed(t, plan, "10.96.0.1:80", "a-young")
	loser, _ := plan.Services.Get(young.Ref)
	if len(loser.Problems) != 1 || loser.Problems[0].Field != "spec.externalIPs" || !strings.Contains(loser.Problems[0].Message, "ns/b-old") {
		t.Errorf("problems of the loser: %+v; want one of spec.externalIPs that names ns/b-old", loser.Problems)
	}

	c.remove(old.Ref)
	plan, _, _ = p.Apply(c.next())
	expectServed(t, plan, "203.0.113.9:80", "a-young")
	if s, _ := plan.Services.Get(young.Ref); len(s.Problems) != 0 {
		t.Errorf("problems after taking over: %+v", s.Problems)
	}
}

// TestClusterIPIsNeverTakenOver keeps an external IP from another Service's cluster IP (CVE-2020-8554).
func TestClusterIPIsNeverTakenOver(t *testing.T) {
	c := newCluster()
	p := NewPlanner(Config{NodeName: "n1"}, nil)
	thief, victim := service("a-thief", 1, "10.96.0.2"), service("b-victim", 2)
	thief.Created, victim.Created = time.Unix(100, 0), time.Unix(200, 0)
	c.set(thief, endpoint(1))
	c.set(victim, endpoint(2))
	plan, _, _ := p.Apply(c.next())
	expectServed(t, plan, "10.96.0.2:80", "b-victim")
}

func expectServed(t *testing.T, p *Plan, to, name string) {
	t.Helper()
	trace := p.Trace(Packet{From: netip.MustParseAddr("10.244.1.99"), To: netip.MustParseAddrPort(to), Protocol: model.TCP})
	if trace.Verdict != Forward || trace.Service.Name != name {
		t.Errorf("%s: %s by %s; want it served by %s", to, trace.Verdict, trace.Service, name)
	}
}

// TestNodeChangesAreFull says which changes of the node ask for a comparison of everything.
func TestNodeChangesAreFull(t *testing.T) {
	c := newCluster()
	c.set(service("s", 1), endpoint(0), endpoint(1))
	p := NewPlanner(Config{NodeName: "n1"}, nil)
	if _, changed, full := p.Apply(c.next()); !full || len(changed) != 1 {
		t.Errorf("first Apply: changed %v, full %t", changed, full)
	}
	if _, changed, full := p.Apply(c.next()); full || changed != nil {
		t.Errorf("nothing changed: changed %v, full %t", changed, full)
	}
	c.snap.Nodes = c.snap.Nodes.With("n2", &model.Node{Name: "n2"})
	c.changes.Nodes = map[string]struct{}{"n2": {}}
	if _, changed, full := p.Apply(c.next()); full || changed != nil {
		t.Errorf("another node changed: changed %v, full %t", changed, full)
	}
	c.snap.ServiceCIDRs = c.snap.ServiceCIDRs.With("k", &model.ServiceCIDR{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}})
	c.changes.ServiceCIDRs = true
	if _, changed, full := p.Apply(c.next()); !full || changed != nil {
		t.Errorf("ServiceCIDRs changed: changed %v, full %t", changed, full)
	}
	p.SetAddrs([]netip.Addr{netip.MustParseAddr("10.244.1.1")})
	if _, _, full := p.Apply(c.next()); full {
		t.Error("a new local address asks for a full comparison although all local addresses answer")
	}
}

// BenchmarkApply shows that the cost of one endpoint's change does not grow with the number of Services.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			c := newCluster()
			var eps []model.Endpoint
			for i := range byte(10) {
				eps = append(eps, endpoint(i))
			}
			for i := range n {
				c.set(service(fmt.Sprintf("s%d", i), i), eps...)
			}
			p := NewPlanner(Config{NodeName: "n1"}, nil)
			p.Apply(c.next())
			i := 0
			for b.Loop() {
				i++
				c.setEndpoints(model.Ref{Namespace: "ns", Name: fmt.Sprintf("s%d", i*7919%n)}, eps[:5+i%5]...)
				p.Apply(c.next())
			}
		})
	}
}

// BenchmarkFirstApply is the cold start: 10,000 Services of 10 endpoints.
func BenchmarkFirstApply(b *testing.B) {
	c := newCluster()
	var eps []model.Endpoint
	for i := range byte(10) {
		eps = append(eps, endpoint(i))
	}
	for i := range 10000 {
		c.set(service(fmt.Sprintf("s%d", i), i), eps...)
	}
	snap, _ := c.next()
	for b.Loop() {
		NewPlanner(Config{NodeName: "n1"}, nil).Apply(snap, model.Changes{All: true})
	}
}
