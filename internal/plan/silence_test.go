package plan

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

// silence returns the silence of endpoints "address:port".
func silence(endpoints ...string) Silence {
	out := Silence{}
	for _, e := range endpoints {
		out[netip.MustParseAddrPort(e)] = struct{}{}
	}
	return out
}

// members writes the endpoints of a pool as the last bytes of their addresses, those in quarantine after a bar.
func members(p Pool) string {
	write := func(list []Endpoint) string {
		var words []string
		for _, e := range list {
			words = append(words, fmt.Sprint(e.Addr.Addr().As4()[3]))
		}
		return strings.Join(words, " ")
	}
	return write(p.Endpoints) + " | " + write(p.Quarantined)
}

// TestQuarantineTakesAtMostHalf says which of the endpoints 1..n leave a pool, and that the last one never does.
func TestQuarantineTakesAtMostHalf(t *testing.T) {
	for _, c := range []struct {
		endpoints byte
		silent    []string
		want      string
	}{
		{1, []string{"10.244.1.1:8080"}, "1 | "},
		{2, []string{"10.244.1.2:8080"}, "1 | 2"},
		{2, []string{"10.244.1.1:8080", "10.244.1.2:8080"}, "2 | 1"},
		{3, []string{"10.244.1.3:8080", "10.244.1.2:8080"}, "1 3 | 2"},
		{4, []string{"10.244.1.4:8080", "10.244.1.2:8080"}, "1 3 | 2 4"},
		{5, []string{"10.244.1.1:8080", "10.244.1.2:8080", "10.244.1.3:8080", "10.244.1.4:8080", "10.244.1.5:8080"}, "3 4 5 | 1 2"},
		{2, []string{"10.244.1.1:8081", "10.244.1.3:8080"}, "1 2 | "},
	} {
		cluster := newCluster()
		s := service("s", 1)
		var endpoints []model.Endpoint
		for i := range c.endpoints {
			endpoints = append(endpoints, endpoint(i+1))
			endpoints[i].Placement = &model.Placement{Node: "n2"}
		}
		cluster.set(s, endpoints...)
		p := NewPlanner(Config{NodeName: "n1"}, nil)
		p.SetSilent(silence(c.silent...))
		plan, _, _ := p.Apply(cluster.next())
		planned, _ := plan.Services.Get(s.Ref)
		if got := members(planned.Pools[0]); got != c.want {
			t.Errorf("%d endpoints, silent %v: %s; want %s", c.endpoints, c.silent, got, c.want)
		}
	}
}

// TestQuarantineIsDecidedForEachPool: the only endpoint of this node stays in the pool of policy Local, and leaves that
// of policy Cluster.
func TestQuarantineIsDecidedForEachPool(t *testing.T) {
	c := newCluster()
	s := service("s", 1, "203.0.113.1")
	s.ExternalLocal = true
	here, elsewhere := endpoint(1), endpoint(2)
	here.Placement, elsewhere.Placement = &model.Placement{Node: "n1"}, &model.Placement{Node: "n2"}
	c.set(s, here, elsewhere)
	p := NewPlanner(Config{NodeName: "n1"}, nil)
	p.SetSilent(silence("10.244.1.1:8080"))
	plan, _, _ := p.Apply(c.next())
	planned, _ := plan.Services.Get(s.Ref)
	var got []string
	for _, pool := range planned.Pools {
		got = append(got, fmt.Sprintf("local %t: %s", pool.Local, members(pool)))
	}
	if diff := cmp.Diff([]string{"local false: 2 | 1", "local true: 1 | "}, got); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
	if !strings.Contains(planned.Dump(), "10.244.1.1:8080 in quarantine") {
		t.Errorf("the dump does not show the quarantine:\n%s", planned.Dump())
	}
	trace := plan.Trace(Packet{From: netip.MustParseAddr("10.244.1.99"), To: netip.MustParseAddrPort("10.96.0.1:80"), Protocol: model.TCP})
	if trace.Pool == nil || members(*trace.Pool) != "2 | 1" {
		t.Errorf("the trace leads to %+v; want endpoint 2 alone", trace.Pool)
	}
}

// TestQuarantineCountsForAllProtocols: who does not answer over TCP gets no datagrams at the same port either.
func TestQuarantineCountsForAllProtocols(t *testing.T) {
	s := service("s", 1)
	s.Ports = []model.ServicePort{{Name: "t", Protocol: model.TCP, Port: 53}, {Name: "u", Protocol: model.UDP, Port: 53}, {Name: "m", Protocol: model.SCTP, Port: 54}}
	one, two := endpoint(1), endpoint(2)
	one.Placement, two.Placement = &model.Placement{}, &model.Placement{}
	view := model.ServiceView{Service: s, Slices: []*model.EndpointSlice{{
		Family: model.IPv4, Endpoints: []model.Endpoint{one, two},
		Ports: []model.EndpointPort{{Name: "t", Protocol: model.TCP, Port: 53}, {Name: "u", Protocol: model.UDP, Port: 53}, {Name: "m", Protocol: model.SCTP, Port: 54}},
	}}}
	node := nodeView(Config{})
	node.Silent = silence("10.244.1.1:53")
	var got []string
	for _, pool := range Build(view, node).Pools {
		got = append(got, pool.Protocol.String()+" "+members(pool))
	}
	if diff := cmp.Diff([]string{"TCP 2 | 1", "UDP 2 | 1", "SCTP 1 2 | "}, got); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
}

// TestSilenceChangesOnlyTheServicesConcerned takes an endpoint out and puts it back.
func TestSilenceChangesOnlyTheServicesConcerned(t *testing.T) {
	c := newCluster()
	for i := range 5 {
		one, two := endpoint(byte(2*i+1)), endpoint(byte(2*i+2))
		one.Placement, two.Placement = &model.Placement{}, &model.Placement{}
		c.set(service(fmt.Sprintf("s%d", i), i), one, two)
	}
	p := NewPlanner(Config{NodeName: "n1"}, nil)
	before, _, _ := p.Apply(c.next())
	p.SetSilent(silence("10.244.1.5:8080"))
	_, changed, full := p.Apply(c.next())
	if diff := cmp.Diff([]model.Ref{{Namespace: "ns", Name: "s2"}}, changed); diff != "" || full {
		t.Errorf("changed, full %t (-want +got):\n%s", full, diff)
	}
	p.SetSilent(nil)
	after, changed, _ := p.Apply(c.next())
	if diff := cmp.Diff([]model.Ref{{Namespace: "ns", Name: "s2"}}, changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before.Dump(), after.Dump()); diff != "" {
		t.Errorf("plan after the end of the silence (-want +got):\n%s", diff)
	}
}
