package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

func addrs(words ...string) []netip.Addr {
	out := make([]netip.Addr, 0, len(words))
	for _, w := range words {
		out = append(out, netip.MustParseAddr(w))
	}
	return out
}

func nodeView(c Config) NodeView {
	c.NodeName = "n1"
	return NodeView{Config: &c, Node: &model.Node{Name: "n1", Addrs: addrs("192.0.2.11", "2001:db8::11")}}
}

// TestRule21_LocalReadyEndpoints counts the distinct ready addresses of this node: not ports, not families, not endpoints
// that terminate, even if they are published as ready.
func TestRule21_LocalReadyEndpoints(t *testing.T) {
	s := service("s", 1)
	s.Type, s.ExternalLocal, s.HealthCheckNodePort = model.LoadBalancer, true, 32000
	at := func(addr, node string, c model.Conditions) model.Endpoint {
		return model.Endpoint{Addr: netip.MustParseAddr(addr), Placement: &model.Placement{Node: node}, Conditions: c}
	}
	ready := model.Ready | model.Serving
	slices4 := &model.EndpointSlice{Family: model.IPv4, Ports: []model.EndpointPort{{Port: 1, Protocol: model.TCP}, {Port: 2, Protocol: model.UDP}}, Endpoints: []model.Endpoint{
		at("10.0.0.1", "n1", ready), at("10.0.0.1", "n1", ready), at("10.0.0.2", "n1", ready),
		at("10.0.0.3", "n2", ready), at("10.0.0.4", "n1", model.Serving|model.Terminating),
		at("10.0.0.5", "n1", ready|model.Terminating), at("10.0.0.6", "n1", 0),
	}}
	slices6 := &model.EndpointSlice{Family: model.IPv6, Endpoints: []model.Endpoint{at("fd00::1", "n1", ready), at("fd00::2", "n1", ready)}}
	view := model.ServiceView{Service: s, Slices: []*model.EndpointSlice{slices4, slices6}}
	got := Build(view, nodeView(Config{}))
	if diff := cmp.Diff(&Health{Port: 32000, LocalReady: 2}, got.Health); diff != "" {
		t.Errorf("health (-want +got)\n%s", diff)
	}
	s.ExternalLocal = false
	if got := Build(view, nodeView(Config{})); got.Health != nil {
		t.Errorf("externalTrafficPolicy Cluster has a health check %+v", got.Health)
	}
}

// TestProblems says what of an accepted Service cannot be honoured, and that the rest of it is.
func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*model.Service)
		field  string
	}{
		"external IP of a family it lacks": {func(s *model.Service) { s.ExternalIPs = addrs("2001:db8::1") }, "spec.externalIPs[0]"},
		"loopback external IP":             {func(s *model.Service) { s.ExternalIPs = addrs("192.0.2.1", "127.0.0.1") }, "spec.externalIPs[1]"},
		"unspecified load-balancer IP":     {func(s *model.Service) { s.Ingress = []model.BalancerAddress{{Addr: netip.IPv4Unspecified()}} }, "status.loadBalancer.ingress[0].ip"},
		"external IP is the cluster IP":    {func(s *model.Service) { s.ExternalIPs = s.ClusterIPs }, "spec.ports[0]"},
		"a port twice":                     {func(s *model.Service) { s.Ports = append(s.Ports, s.Ports[0]) }, "spec.ports[1]"},
		"port 0":                           {func(s *model.Service) { s.Ports = append(s.Ports, model.ServicePort{Protocol: model.TCP}) }, "spec.ports[1]"},
		"no health check port":             {func(s *model.Service) { s.Type, s.ExternalLocal = model.LoadBalancer, true }, "spec.healthCheckNodePort"},
		"from the source":                  {func(s *model.Service) { s.Problems = []model.Problem{{Field: "spec.type"}} }, "spec.type"},
	} {
		t.Run(name, func(t *testing.T) {
			s := service("s", 1)
			c.change(s)
			got := Build(model.ServiceView{Service: s}, nodeView(Config{}))
			if len(got.Problems) != 1 || got.Problems[0].Field != c.field {
				t.Errorf("problems %+v; want one of %s", got.Problems, c.field)
			}
			if len(got.Frontends) == 0 || got.Frontends[0].Key != (Key{s.ClusterIPs[0], 80, model.TCP}) {
				t.Errorf("the cluster IP is not served: %+v", got.Frontends)
			}
		})
	}
}

// TestBuildDoesNotDependOnOrder shuffles slices and endpoints, which the API lists in any order.
func TestBuildDoesNotDependOnOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var list []*model.EndpointSlice
	for i := range byte(6) {
		list = append(list, &model.EndpointSlice{
			Family: model.IPv4, Ports: []model.EndpointPort{{Protocol: model.TCP, Port: 8080}},
			Endpoints: []model.Endpoint{endpoint(i), endpoint(i + 1), {Addr: endpoint(i).Addr, Placement: &model.Placement{}, Conditions: model.Serving | model.Terminating}},
		})
	}
	want := ""
	for range 50 {
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		got := Build(model.ServiceView{Service: service("s", 1), Slices: list}, nodeView(Config{})).Dump()
		if want == "" {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("another order, another plan\n%s", diff)
		}
	}
}

// TestRule14_NodePortAddresses resolves the selections of nodePortAddresses.
func TestRule14_NodePortAddresses(t *testing.T) {
	own := addrs("127.0.0.1", "::1", "192.0.2.11", "198.51.100.1", "2001:db8::11", "fe80::1")
	for _, c := range []struct {
		words []string
		want  string
	}{
		{nil, "{true []}"},
		{[]string{"all"}, "{true []}"},
		{[]string{"0.0.0.0/0", "::/0"}, "{true []}"},
		{[]string{"primary"}, "{false [192.0.2.11 2001:db8::11]}"},
		{[]string{"primary", "198.51.100.0/24"}, "{false [192.0.2.11 198.51.100.1 2001:db8::11]}"},
		{[]string{"198.51.100.0/24", "2001:db8::/64"}, "{false [198.51.100.1 2001:db8::11]}"},
		{[]string{"198.51.100.0/24"}, "{false [198.51.100.1 2001:db8::11 fe80::1]}"},
		{[]string{"localhost"}, "{false [127.0.0.1 ::1]}"},
		{[]string{"all", "localhost"}, "{true [127.0.0.1 ::1]}"},
		{[]string{"all", "127.0.0.0/8"}, "{true [127.0.0.1]}"},
		{[]string{"127.0.0.0/8", "2001:db8::/64"}, "{false [127.0.0.1 2001:db8::11]}"},
		{[]string{"203.0.113.0/24", "fd00::/8"}, "{false []}"},
	} {
		selection, err := ParseNodePortAddresses(c.words)
		if err != nil {
			t.Fatal(err)
		}
		view := nodeView(Config{NodePorts: selection})
		view.Addrs = own
		if got := fmt.Sprint(BuildNode(view, nil).NodePorts); got != c.want {
			t.Errorf("nodePortAddresses %v: %s, want %s", c.words, got, c.want)
		}
	}
	if _, err := ParseNodePortAddresses([]string{"all", "192.0.2.1"}); err == nil {
		t.Error("an address without a length is taken for a network")
	}
}

// FuzzParseNodePortAddresses: whatever a file says is either understood or refused.
func FuzzParseNodePortAddresses(f *testing.F) {
	for _, seed := range []string{"all", "primary", "192.0.2.0/24", "::/0", " ", "fe80::1%eth0/64"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, word string) {
		selection, err := ParseNodePortAddresses([]string{word})
		if (err == nil) == (fmt.Sprint(selection) == fmt.Sprint(NodePortSelection{})) {
			t.Errorf("%q: %+v, %v", word, selection, err)
		}
	})
}
