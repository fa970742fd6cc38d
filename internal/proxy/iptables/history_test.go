package iptables

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

var errInjected = errors.New("injected fault")

// faulty is a kernel of which some calls fail, before or after they have had their effect.
type faulty struct {
	Kernel
	rng  *rand.Rand
	rate float64
}

func (f *faulty) fails() error {
	if f.rng.Float64() < f.rate {
		return errInjected
	}
	return nil
}

func (f *faulty) Restore(ctx context.Context, family model.Family, write func(io.Writer) error) error {
	if err := f.fails(); err != nil {
		return err
	}
	return errors.Join(f.Kernel.Restore(ctx, family, write), f.fails())
}

func (f *faulty) Save(ctx context.Context, family model.Family, table string, line func([]byte) error) error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.Kernel.Save(ctx, family, table, line)
}

func (f *faulty) Stamp(ctx context.Context, family model.Family) (iptables.Stamp, error) {
	if err := f.fails(); err != nil {
		return iptables.Stamp{}, err
	}
	return f.Kernel.Stamp(ctx, family)
}

// TestHistory drives backends through random histories of plans on a kernel of which one call in ten fails. In the end
// the kernel holds what a fresh render of the last plan would, and nothing else.
func TestHistory(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprintf("fake/%d", seed), func(t *testing.T) { history(t, &iptables.Fake{}, seed, 150) })
	}
	l := lab.ForTest(t)
	for i, v := range variants() {
		t.Run(string(v), func(t *testing.T) {
			history(t, connIn(t, l.Namespace("tried-"+string(v)), v), uint64(i)+1, 60)
		})
	}
}

func history(t *testing.T, kernel Kernel, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, 7))
	broken := &faulty{kernel, rng, 0.1}
	b := newBackend(t, broken, settings{})
	p := planOf(testNode())
	var pending []model.Ref // changed since the last successful Sync
	for range steps {
		if seed%3 != 0 && rng.IntN(8) == 0 {
			// Times without faults, in which one small change follows the other.
			broken.rate = 0.1 - broken.rate
		}
		next, changed := mutate(rng, p)
		p, pending = next, append(pending, changed...)
		if rng.IntN(40) == 0 {
			b = newBackend(t, broken, settings{}) // the process restarts
		}
		_, err := b.Sync(t.Context(), plan.Update{Plan: p, Changed: pending, Full: rng.IntN(20) == 0})
		switch {
		case err == nil:
			pending = nil
			if rng.IntN(3) == 0 {
				compareWithFresh(t, kernel, p)
			}
		case !errors.Is(err, errInjected):
			t.Fatalf("Sync: %v", err)
		}
	}
	broken.rate = 0
	mustSync(t, b, plan.Update{Plan: p, Changed: pending})
	compareWithFresh(t, kernel, p)
	if r := mustSync(t, b, plan.Update{Plan: p, Full: true}); r.Operations != 0 || r.Repaired != 0 {
		t.Errorf("a Sync of the same plan made %d changes, %d repairs", r.Operations, r.Repaired)
	}
	if err := b.Cleanup(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string(nil), saved(t, kernel)); diff != "" {
		t.Errorf("after Cleanup (-want +got):\n%s", diff)
	}
}

// compareWithFresh holds a kernel against what a backend makes of a plan from nothing.
func compareWithFresh(t *testing.T, kernel Kernel, p *plan.Plan) {
	t.Helper()
	if diff := cmp.Diff(fresh(t, p), saved(t, kernel)); diff != "" {
		t.Fatalf("-fresh +got:\n%s", diff)
	}
}

// fresh returns the rules for a plan.
func fresh(t *testing.T, p *plan.Plan) []string {
	t.Helper()
	fake := &iptables.Fake{}
	mustSync(t, newBackend(t, fake, settings{}), plan.Update{Plan: p})
	return saved(t, fake)
}

// mutate changes, adds or removes some Services of a plan: sometimes so many that chains of the trees are split or joined.
func mutate(rng *rand.Rand, p *plan.Plan) (*plan.Plan, []model.Ref) {
	next := &plan.Plan{Node: p.Node, Services: p.Services}
	var changed []model.Ref
	count := 1 + rng.IntN(3)
	if rng.IntN(10) == 0 {
		count = 30
	}
	removing := rng.IntN(4) == 0
	for range count {
		s := randomService(rng, rng.IntN(40))
		if removing || rng.IntN(4) == 0 {
			next.Services = next.Services.Without(s.Ref)
		} else {
			next.Services = next.Services.With(s.Ref, s)
		}
		changed = append(changed, s.Ref)
	}
	if rng.IntN(15) == 0 {
		next.Node.DropInvalid = !next.Node.DropInvalid
		next.Node.NodePorts.AnyLocal = rng.IntN(2) == 0
		next.Node.NodePorts.Addrs = addrs([]string{"127.0.0.1", "192.0.2.10"}[rng.IntN(2)])
	}
	return next, changed
}

// randomService returns the i-th Service in a random state. Endpoints are shared between Services.
func randomService(rng *rand.Rand, i int) *plan.Service {
	s := service(fmt.Sprintf("s%d", i))
	affinity := time.Duration(0)
	if rng.IntN(3) == 0 {
		affinity = time.Duration(1+rng.IntN(3)) * time.Hour
	}
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		if rng.IntN(5) == 0 {
			continue
		}
		at := byte(i * 37)
		s.ClusterIPs = append(s.ClusterIPs, address(f, 96, at))
		cluster, local := randomPools(rng, f)
		cluster.Affinity, local.Affinity = affinity, affinity
		first := plan.PoolID(len(s.Pools))
		s.Pools = append(s.Pools, cluster, local)
		anyNode := netip.IPv4Unspecified()
		if f == model.IPv6 {
			anyNode = netip.IPv6Unspecified()
		}
		for _, at := range []netip.AddrPort{
			netip.AddrPortFrom(address(f, 96, at), 80), netip.AddrPortFrom(address(f, 203, byte(i)), 80),
			netip.AddrPortFrom(anyNode, uint16(30000+i*61)),
		} {
			s.Frontends = append(s.Frontends, randomFrontend(rng, at, first))
		}
	}
	return s
}

func randomFrontend(rng *rand.Rand, at netip.AddrPort, first plan.PoolID) plan.Frontend {
	f := frontend(at.String(), first, plan.MasqueradeOffCluster)
	if rng.IntN(3) == 0 {
		f.Masquerade = plan.Masquerade(rng.IntN(3))
	}
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

func randomPools(rng *rand.Rand, f model.Family) (cluster, local plan.Pool) {
	cluster = plan.Pool{PortName: "http", Protocol: model.TCP, Family: f}
	local = cluster
	local.Local = true
	for i := range byte(rng.IntN(9)) {
		e := plan.Endpoint{Addr: netip.AddrPortFrom(address(f, 1, byte(rng.IntN(16))<<4+i), 8080), Local: rng.IntN(2) == 0}
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
