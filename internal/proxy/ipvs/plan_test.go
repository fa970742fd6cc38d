package ipvs

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/kernel/sysctl"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// fakes is a kernel in memory.
type fakes struct {
	servers ipvs.Fake
	sets    ipset.Fake
	rules   iptables.Fake
	routes  fakeRoutes
	tracker conntrack.Fake
	sysctls sysctl.Tree
}

func newFakes(tb testing.TB) *fakes {
	tb.Helper()
	f := &fakes{sysctls: sysctl.Tree{Root: tb.TempDir()}}
	for _, key := range []string{
		"net/ipv4/vs/conntrack", "net/ipv4/vs/expire_nodest_conn", "net/ipv4/vs/expire_quiescent_template",
		"net/ipv4/vs/conn_reuse_mode", "net/ipv4/conf/all/arp_ignore", "net/ipv4/conf/all/arp_announce",
	} {
		path := filepath.Join(f.sysctls.Root, key)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("0\n"), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return f
}

func (f *fakes) deps() Deps {
	return Deps{
		Servers: &f.servers, Sets: &f.sets, Rules: &f.rules, Routes: &f.routes, Tracker: &f.tracker,
		Sysctls: f.sysctls, Log: slog.New(slog.DiscardHandler),
	}
}

// fakeRoutes remembers what is delivered.
type fakeRoutes struct{ marks map[model.Family]uint32 }

func (r *fakeRoutes) DeliverMarked(f model.Family, mark uint32) (changed bool, err error) {
	if r.marks == nil {
		r.marks = map[model.Family]uint32{}
	}
	changed = r.marks[f] != mark
	r.marks[f] = mark
	return changed, nil
}

func (r *fakeRoutes) DeliverNone(f model.Family) error {
	delete(r.marks, f)
	return nil
}

func (r *fakeRoutes) Delivered(f model.Family) (uint32, error) { return r.marks[f], nil }

// newBackend returns a backend that waits for nothing.
func newBackend(tb testing.TB, deps Deps) *Backend {
	tb.Helper()
	b, err := New(Config{}, deps)
	if err != nil {
		tb.Fatal(err)
	}
	b.patience, b.replies = 0, 0
	return b
}

// mustSync syncs or fails the test.
func mustSync(tb testing.TB, b *Backend, u plan.Update) plan.Report {
	tb.Helper()
	report, err := b.Sync(tb.Context(), u)
	if err != nil {
		tb.Fatalf("Sync: %v", err)
	}
	return report
}

// testNode is a node with a pod network.
func testNode() plan.Node {
	return plan.Node{
		NodePorts:     plan.NodePortAddresses{Addrs: addrs("192.0.2.10", "2001:db8::10")},
		LocalPods:     plan.LocalPods{Sources: prefixes("10.1.0.0/24", "fd00:1::/64")},
		ServiceCIDRs:  prefixes("10.96.0.0/16", "fd00:96::/112"),
		MasqueradeBit: 14,
		DropInvalid:   true,
	}
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// planOf returns a plan of the Services for a node.
func planOf(node plan.Node, services ...*plan.Service) *plan.Plan {
	p := &plan.Plan{Node: node}
	for _, s := range services {
		p.Services = p.Services.With(s.Ref, s)
	}
	return p
}

// service returns a Service without frontends.
func service(name string) *plan.Service {
	return &plan.Service{Ref: model.Ref{Namespace: "default", Name: name}}
}

// pool returns a TCP pool; the first local endpoints are on this node.
func pool(local int, endpoints ...string) plan.Pool {
	p := plan.Pool{PortName: "http", Protocol: model.TCP, Family: model.IPv4}
	for i, e := range endpoints {
		addr := netip.MustParseAddrPort(e)
		p.Family = model.FamilyOf(addr.Addr())
		p.Endpoints = append(p.Endpoints, plan.Endpoint{Addr: addr, Local: i < local})
	}
	return p
}

// frontend returns a TCP frontend that forwards to a pool.
func frontend(at string, to plan.PoolID, m plan.Masquerade) plan.Frontend {
	a := netip.MustParseAddrPort(at)
	return plan.Frontend{
		Key:      plan.Key{Addr: a.Addr(), Port: a.Port(), Protocol: model.TCP},
		PortName: "http", Pool: to, LocalClientPool: plan.NoPool, Masquerade: m,
	}
}

// everything returns Services that use every feature.
func everything() []*plan.Service {
	web := service("web")
	web.ClusterIPs = addrs("10.96.0.1", "fd00:96::1")
	web.Pools = []plan.Pool{
		pool(1, "10.1.0.2:8080", "10.1.1.2:8080", "10.1.1.3:8080"),
		pool(1, "[fd00:1::2]:8080", "[fd00:2::2]:8080"),
	}
	web.Frontends = []plan.Frontend{
		frontend("10.96.0.1:80", 0, plan.MasqueradeOffCluster),
		frontend("[fd00:96::1]:80", 1, plan.MasqueradeOffCluster),
		frontend("0.0.0.0:30080", 0, plan.MasqueradeAlways),
		frontend("[::]:30080", 1, plan.MasqueradeAlways),
	}
	none := service("none")
	none.ClusterIPs = addrs("10.96.0.2")
	refused := frontend("10.96.0.2:80", plan.NoPool, plan.MasqueradeOffCluster)
	refused.Verdict = plan.Reject
	dropped := frontend("10.96.0.2:81", plan.NoPool, plan.MasqueradeOffCluster)
	dropped.Verdict = plan.Drop
	none.Frontends = []plan.Frontend{refused, dropped}
	return []*plan.Service{web, none, sticky(), balanced()}
}

// sticky returns a Service with session affinity.
func sticky() *plan.Service {
	s := service("sticky")
	s.ClusterIPs = addrs("10.96.0.3", "fd00:96::3")
	p := pool(1, "10.1.0.3:8080", "10.1.1.3:8080")
	p.Affinity = 3 * time.Hour
	local := pool(1, "10.1.0.3:8080")
	local.Affinity, local.Local = p.Affinity, true
	six := pool(1, "[fd00:1::3]:8443", "[fd00:2::3]:8443")
	six.Affinity = 90 * time.Minute
	s.Pools = []plan.Pool{p, local, six}
	external := frontend("203.0.113.3:80", 1, plan.MasqueradeNever)
	external.LocalClientPool = 0
	nodePort := frontend("0.0.0.0:30083", 1, plan.MasqueradeNever)
	nodePort.LocalClientPool = 0
	s.Frontends = []plan.Frontend{frontend("10.96.0.3:80", 0, plan.MasqueradeOffCluster), external, nodePort, frontend("[fd00:96::3]:80", 2, plan.MasqueradeAlways)}
	return s
}

// balanced returns a Service with a load-balancer address for some clients only, and the policy Local.
func balanced() *plan.Service {
	s := service("balanced")
	s.ClusterIPs = addrs("10.96.0.4")
	local := pool(1, "10.1.0.4:8080")
	local.Local = true
	s.Pools = []plan.Pool{pool(1, "10.1.0.4:8080", "10.1.1.4:8080"), local}
	vip := frontend("203.0.113.4:80", 1, plan.MasqueradeNever)
	vip.LocalClientPool = 0
	vip.Sources = prefixes("198.51.100.0/24", "192.0.2.7/32", "2001:db8:7::/48")
	nodePort := frontend("0.0.0.0:30084", plan.NoPool, plan.MasqueradeNever)
	nodePort.Verdict, nodePort.LocalClientPool = plan.Drop, 0
	s.Frontends = []plan.Frontend{frontend("10.96.0.4:80", 0, plan.MasqueradeOffCluster), vip, nodePort}
	return s
}

// many returns n Services with e endpoints each.
func many(n, e int) []*plan.Service {
	list := make([]*plan.Service, n)
	for i := range list {
		s := service(fmt.Sprintf("s%d", i))
		s.ClusterIPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})}
		p := plan.Pool{PortName: "http", Protocol: model.TCP, Family: model.IPv4}
		for j := range e {
			a := netip.AddrFrom4([4]byte{10, byte(128 + j), byte(i >> 8), byte(i)})
			p.Endpoints = append(p.Endpoints, plan.Endpoint{Addr: netip.AddrPortFrom(a, 8080)})
		}
		s.Pools = []plan.Pool{p}
		s.Frontends = []plan.Frontend{{
			Key:      plan.Key{Addr: s.ClusterIPs[0], Port: 80, Protocol: model.TCP},
			PortName: "http", LocalClientPool: plan.NoPool, Masquerade: plan.MasqueradeOffCluster,
		}}
		list[i] = s
	}
	return list
}
