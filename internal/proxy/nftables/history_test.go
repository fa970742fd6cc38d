package nftables

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
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

func (f *faulty) Run(ctx context.Context, tx *nft.Transaction) error {
	if err := f.fails(); err != nil {
		return err
	}
	return errors.Join(f.Kernel.Run(ctx, tx), f.fails())
}

func (f *faulty) List(ctx context.Context, t nft.Table) (*nft.Listing, error) {
	if err := f.fails(); err != nil {
		return nil, err
	}
	return f.Kernel.List(ctx, t)
}

func (f *faulty) Elements(ctx context.Context, t nft.Table, set string, restart func(), visit func(nft.Element)) error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.Kernel.Elements(ctx, t, set, restart, visit)
}

func (f *faulty) Generation(ctx context.Context) (uint32, error) {
	if err := f.fails(); err != nil {
		return 0, err
	}
	return f.Kernel.Generation(ctx)
}

// TestHistory drives backends through random histories of plans on a kernel of which one call in ten fails. In the end
// the kernel holds what a fresh render of the last plan would, and nothing else.
func TestHistory(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprintf("fake/%d", seed), func(t *testing.T) {
			history(t, Config{}, &nft.Fake{LateRelease: seed%2 == 1}, seed, 150)
		})
		t.Run(fmt.Sprintf("handover/%d", seed), func(t *testing.T) {
			history(t, handingOver(), &nft.Fake{LateRelease: seed%2 == 1}, seed, 100)
		})
	}
	l := lab.ForTest(t)
	for seed := range uint64(2) {
		t.Run(fmt.Sprintf("kernel/%d", seed), func(t *testing.T) {
			tried := connIn(t, l.Namespace(fmt.Sprintf("tried%d", seed)))
			history(t, []Config{{}, handingOver()}[seed], tried, seed+1, 60)
		})
	}
}

func history(t *testing.T, cfg Config, kernel Kernel, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, 7))
	broken := &faulty{kernel, rng, 0.1}
	b := configured(t, cfg, broken)
	p := planOf(testNode())
	var pending []model.Ref // changed since the last successful Sync
	for range steps {
		if seed%3 != 0 && rng.IntN(8) == 0 {
			// Times without faults, in which one small change follows the other: a comparison of everything takes so
			// many calls that it hardly ever succeeds between faults.
			broken.rate = 0.1 - broken.rate
		}
		next, changed := mutate(rng, p)
		p, pending = next, append(pending, changed...)
		if rng.IntN(40) == 0 {
			b = configured(t, cfg, broken) // the process restarts
		}
		_, err := b.Sync(t.Context(), plan.Update{Plan: p, Changed: pending, Full: rng.IntN(20) == 0})
		switch {
		case err == nil:
			pending = nil
			if rng.IntN(3) == 0 {
				settle(t, b, broken, p)
				compareWithFresh(t, cfg, kernel, p)
			}
		case !errors.Is(err, errInjected):
			t.Fatalf("Sync: %v", err)
		}
	}
	broken.rate = 0
	mustSync(t, b, plan.Update{Plan: p, Changed: pending})
	settle(t, b, broken, p)
	compareWithFresh(t, cfg, kernel, p)
	if r := mustSync(t, b, plan.Update{Plan: p, Full: true}); r.Operations != 0 {
		t.Errorf("a Sync of the same plan made %d changes", r.Operations)
	}
	if err := b.Cleanup(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string(nil), contents(t, kernel)); diff != "" {
		t.Errorf("after Cleanup (-want +got):\n%s", diff)
	}
}

// settle syncs once more without faults: chains that the kernel did not let go of at once are deleted by it.
func settle(t *testing.T, b *Backend, broken *faulty, p *plan.Plan) {
	t.Helper()
	rate := broken.rate
	broken.rate = 0
	mustSync(t, b, plan.Update{Plan: p})
	broken.rate = rate
}

// compareWithFresh holds a kernel against what a backend makes of a plan from nothing.
func compareWithFresh(t *testing.T, cfg Config, kernel Kernel, p *plan.Plan) {
	t.Helper()
	fresh := &nft.Fake{}
	mustSync(t, configured(t, cfg, fresh), plan.Update{Plan: p})
	if diff := cmp.Diff(contents(t, fresh), contents(t, kernel)); diff != "" {
		t.Fatalf("-fresh +got:\n%s", diff)
	}
}

// contents returns all that the kernel holds of our tables, in an order that does not depend on their history.
func contents(t *testing.T, k Kernel) []string {
	t.Helper()
	var list []string
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
		table := nft.Table{Family: f, Name: DefaultTable}
		listing, err := k.List(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		if listing == nil {
			continue
		}
		list = append(list, table.String())
		for _, c := range listing.Chains {
			list = append(list, fmt.Sprintf("%s chain %s %q %+v", f, c.Name, c.Comment, c.Hook))
		}
		for i, r := range listing.Rules {
			first := i
			for first > 0 && listing.Rules[first-1].Chain == r.Chain {
				first--
			}
			list = append(list, fmt.Sprintf("%s rule %s/%d %s %q", f, r.Chain, i-first, r.Text(f), r.Comment))
		}
		for _, s := range listing.Sets {
			err := k.Elements(t.Context(), table, s.Name, func() { t.Fatal("restarted") }, func(e nft.Element) {
				list = append(list, fmt.Sprintf("%s element %s %s : %s %s", f, s.Name,
					nft.FormatKey(s.KeyType, e.Key), nft.FormatKey(s.DataType&0xffffff, e.Data), e.Verdict))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	sortStrings(list)
	return list
}

// mutate changes, adds or removes some Services of a plan.
func mutate(rng *rand.Rand, p *plan.Plan) (*plan.Plan, []model.Ref) {
	next := &plan.Plan{Node: p.Node, Services: p.Services}
	var changed []model.Ref
	for range 1 + rng.IntN(3) {
		i := rng.IntN(8)
		s := randomService(rng, i)
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
	affinity := time.Duration(0)
	if rng.IntN(3) == 0 {
		affinity = time.Duration(1+rng.IntN(3)) * time.Hour
	}
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		if rng.IntN(5) == 0 {
			continue
		}
		s.ClusterIPs = append(s.ClusterIPs, address(f, 96, byte(i)))
		cluster, local := randomPools(rng, f)
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
			s.Frontends = append(s.Frontends, randomFrontend(rng, at, first))
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

func randomPools(rng *rand.Rand, f model.Family) (cluster, local plan.Pool) {
	cluster = plan.Pool{PortName: "http", Protocol: model.TCP, Family: f}
	local = cluster
	local.Local = true
	for i := range byte(rng.IntN(9)) {
		e := plan.Endpoint{Addr: netip.AddrPortFrom(address(f, 1, i*2+byte(rng.IntN(2))), 8080), Local: rng.IntN(2) == 0}
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
