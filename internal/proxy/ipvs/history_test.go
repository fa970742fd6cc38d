package ipvs

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

var errInjected = errors.New("injected fault")

// TestHistory drives backends through random histories of plans on a kernel of which one call in ten fails. In the end
// the kernel holds what a fresh render of the last plan would, and nothing else.
func TestHistory(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { history(t, newFakes(t).deps(), seed, 100) })
	}
}

func history(t *testing.T, kernel Deps, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, 7))
	rate := 0.1
	broken := withFaults(kernel, func() error {
		if rng.Float64() < rate {
			return errInjected
		}
		return nil
	})
	b := newBackend(t, broken)
	p := planOf(testNode())
	var pending []model.Ref // changed since the last successful Sync
	for range steps {
		if rng.IntN(8) == 0 {
			rate = 0.1 - rate // times without faults, in which one small change follows the other
		}
		next, changed := mutate(rng, p)
		p, pending = next, append(pending, changed...)
		if rng.IntN(40) == 0 {
			b = newBackend(t, broken) // the process restarts
		}
		_, err := b.Sync(t.Context(), plan.Update{Plan: p, Changed: pending, Full: rng.IntN(20) == 0})
		switch {
		case err == nil:
			pending = nil
			compareWithFresh(t, kernel, p)
		case !errors.Is(err, errInjected):
			t.Fatalf("Sync: %v", err)
		}
	}
	rate = 0
	mustSync(t, b, plan.Update{Plan: p, Changed: pending})
	compareWithFresh(t, kernel, p)
	if r := mustSync(t, b, plan.Update{Plan: p, Full: true}); r.Operations != 0 {
		t.Errorf("a Sync of the same plan made %d changes", r.Operations)
	}
	if err := b.Cleanup(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]string{"0 virtual servers"}, contents(t, kernel, p)); diff != "" {
		t.Errorf("after Cleanup (-want +got):\n%s", diff)
	}
}

// compareWithFresh holds a kernel against what a backend makes of a plan from nothing. Numbers of pools depend on
// history: each virtual server is written in their place.
func compareWithFresh(t *testing.T, kernel Deps, p *plan.Plan) {
	t.Helper()
	fresh := newFakes(t).deps()
	mustSync(t, newBackend(t, fresh), plan.Update{Plan: p})
	want, got := contents(t, fresh, p), contents(t, kernel, p)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Fatalf("-fresh +got:\n%s", diff)
	}
}

// contents returns the entries of our sets with, in the place of marks, the virtual servers and flags that they stand for,
// and how many virtual servers there are.
func contents(t *testing.T, kernel Deps, p *plan.Plan) []string {
	t.Helper()
	l := newLayout(p.Node.MasqueradeBit)
	all, err := kernel.Servers.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	servers := map[ipvs.Key]string{}
	for _, s := range all {
		list, err := kernel.Servers.Servers(t.Context(), s.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(list, func(a, b ipvs.Server) int { return a.Addr.Compare(b.Addr) })
		servers[s.Key] = fmt.Sprint(s.Scheduler, s.Persistence, list)
	}
	lines := []string{fmt.Sprint(len(all), " virtual servers")}
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		for _, set := range familySets(f) {
			list, err := kernel.Sets.List(t.Context(), set)
			if errors.Is(err, ipset.ErrNotExist) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(list, ipset.Entry.Compare)
			for _, e := range list {
				flags := e.Mark &^ l.serverMask()
				to, ok := servers[ipvs.Key{Family: f, Mark: e.Mark & l.serverMask()}]
				if id := l.idOf(e.Mark); id < idPools {
					to, ok = fmt.Sprint("verdict ", id), true
				}
				if !ok {
					t.Errorf("%s: %s: there is no virtual server of this mark", set.Name, e)
				}
				e.Mark = 0
				lines = append(lines, fmt.Sprintf("%s %s flags %#x to %s", set.Name, e, flags, to))
			}
		}
	}
	return lines
}

// mutate changes, adds or removes some Services of a plan.
func mutate(rng *rand.Rand, p *plan.Plan) (*plan.Plan, []model.Ref) {
	next := &plan.Plan{Node: p.Node, Services: p.Services}
	var changed []model.Ref
	for range 1 + rng.IntN(3) {
		s := randomService(rng, rng.IntN(8))
		if rng.IntN(4) == 0 {
			next.Services = next.Services.Without(s.Ref)
		} else {
			next.Services = next.Services.With(s.Ref, s)
		}
		changed = append(changed, s.Ref)
	}
	if rng.IntN(15) == 0 {
		next.Node.DropInvalid = !next.Node.DropInvalid
		next.Node.NodePorts.AnyLocal = rng.IntN(2) == 0
	}
	return next, changed
}

// randomService returns the i-th Service in a random state. Endpoints are shared between Services.
func randomService(rng *rand.Rand, i int) *plan.Service {
	s := service(fmt.Sprintf("s%d", i))
	protocol := []model.Protocol{model.TCP, model.UDP, model.SCTP}[rng.IntN(3)]
	affinity := time.Duration(0)
	if rng.IntN(3) == 0 {
		affinity = time.Duration(1+rng.IntN(3)) * time.Hour
	}
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		if rng.IntN(5) == 0 {
			continue
		}
		s.ClusterIPs = append(s.ClusterIPs, address(f, 96, byte(i)))
		cluster, local := randomPools(rng, f, protocol)
		cluster.Affinity, local.Affinity = affinity, affinity
		first := plan.PoolID(len(s.Pools))
		s.Pools = append(s.Pools, cluster, local)
		anyNode := netip.IPv4Unspecified()
		if f == model.IPv6 {
			anyNode = netip.IPv6Unspecified()
		}
		for _, at := range []netip.AddrPort{
			netip.AddrPortFrom(address(f, 96, byte(i)), 80), netip.AddrPortFrom(address(f, 203, byte(i)), 80),
			netip.AddrPortFrom(anyNode, uint16(30000+i)),
		} {
			fr := randomFrontend(rng, at, first)
			fr.Key.Protocol = protocol
			s.Frontends = append(s.Frontends, fr)
		}
	}
	return s
}

func randomFrontend(rng *rand.Rand, at netip.AddrPort, first plan.PoolID) plan.Frontend {
	f := frontend(at.String(), first, plan.Masquerade(rng.IntN(3)))
	f.Verdict = plan.Verdict(rng.IntN(3))
	if f.Verdict != plan.Forward {
		f.Pool = plan.NoPool
	} else if rng.IntN(2) == 0 {
		f.Pool, f.LocalClientPool = first+1, first
	}
	if rng.IntN(5) == 0 {
		f.Sources = prefixes("198.51.100.0/24", "2001:db8:7::/48")[:1+rng.IntN(2)]
	}
	return f
}

func randomPools(rng *rand.Rand, f model.Family, protocol model.Protocol) (cluster, local plan.Pool) {
	cluster = plan.Pool{PortName: "http", Protocol: protocol, Family: f}
	local = cluster
	local.Local = true
	port := []uint16{8080, 8443, 9090}[rng.IntN(3)]
	for i := range byte(rng.IntN(9)) {
		e := plan.Endpoint{Addr: netip.AddrPortFrom(address(f, 1, i*2+byte(rng.IntN(2))), port), Local: rng.IntN(2) == 0}
		cluster.Endpoints = append(cluster.Endpoints, e)
		if e.Local {
			local.Endpoints = append(local.Endpoints, e)
		}
	}
	return cluster, local
}

func address(f model.Family, network, host byte) netip.Addr {
	if f == model.IPv4 {
		return netip.AddrFrom4([4]byte{10, network, 0, host})
	}
	return netip.AddrFrom16([16]byte{0: 0xfd, 3: network, 15: host})
}

// TestConnectionsOutliveTheirEndpoint: real servers that are remembered by connections stay, without new ones.
func TestConnectionsOutliveTheirEndpoint(t *testing.T) {
	f := newFakes(t)
	b := newBackend(t, f.deps())
	s := service("web")
	s.Pools = []plan.Pool{pool(0, "10.1.0.2:8080", "10.1.0.3:8080")}
	s.Frontends = []plan.Frontend{frontend("10.96.0.1:80", 0, plan.MasqueradeNever)}
	mustSync(t, b, plan.Update{Plan: planOf(testNode(), s)})
	f.servers.Connections = map[netip.AddrPort]uint32{netip.MustParseAddrPort("10.1.0.3:8080"): 1}
	fewer := service("web")
	fewer.Pools = []plan.Pool{pool(0, "10.1.0.2:8080")}
	fewer.Frontends = s.Frontends
	without := planOf(testNode())
	for i, step := range []struct {
		update plan.Update
		want   []string
	}{
		{plan.Update{Plan: planOf(testNode(), fewer), Changed: []model.Ref{s.Ref}}, []string{"10.1.0.2:8080 1", "10.1.0.3:8080 0"}},
		{plan.Update{Plan: planOf(testNode(), s), Changed: []model.Ref{s.Ref}}, []string{"10.1.0.2:8080 1", "10.1.0.3:8080 1"}},
		{plan.Update{Plan: without, Changed: []model.Ref{s.Ref}}, []string{"10.1.0.3:8080 0"}},
		{plan.Update{Plan: planOf(testNode(), s), Changed: []model.Ref{s.Ref}}, []string{"10.1.0.2:8080 1", "10.1.0.3:8080 1"}},
	} {
		mustSync(t, b, step.update)
		if diff := gocmp.Diff(step.want, real(t, f)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
	mustSync(t, b, plan.Update{Plan: without, Full: true})
	b = newBackend(t, f.deps())
	mustSync(t, b, plan.Update{Plan: without})
	if diff := gocmp.Diff([]string{"10.1.0.3:8080 0"}, real(t, f)); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	f.servers.Connections = nil
	mustSync(t, b, plan.Update{Plan: without, Full: true})
	if got := f.servers.Dump(); got != "" {
		t.Errorf("after the last connection:\n%s", got)
	}
}

// real returns the real servers of all virtual servers with their weights.
func real(t *testing.T, f *fakes) []string {
	t.Helper()
	all, err := f.servers.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range all {
		list, err := f.servers.Servers(t.Context(), s.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(list, func(a, b ipvs.Server) int { return cmp.Compare(a.Addr.String(), b.Addr.String()) })
		for _, r := range list {
			out = append(out, fmt.Sprintf("%s %d", r.Addr, r.Weight))
		}
	}
	return out
}
