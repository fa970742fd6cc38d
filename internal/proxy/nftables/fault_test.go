package nftables

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// TestFailedSyncKeepsOldRules shows that a change that the kernel refuses leaves no trace, and that the next Sync makes
// up for it although it is not told again what changed.
func TestFailedSyncKeepsOldRules(t *testing.T) {
	fake := &nft.Fake{}
	b := newBackend(t, fake)
	services := everything()
	mustSync(t, b, plan.Update{Plan: planOf(testNode(), services...)})
	before := fake.Dump()
	next := planOf(testNode(), services[1:]...)
	fake.Fault = func(call string) error {
		if call == "run" {
			return errInjected
		}
		return nil
	}
	u := plan.Update{Plan: next, Changed: []model.Ref{services[0].Ref}}
	if _, err := b.Sync(t.Context(), u); !errors.Is(err, errInjected) {
		t.Fatalf("Sync: %v; want the injected fault", err)
	}
	if diff := cmp.Diff(before, fake.Dump()); diff != "" {
		t.Errorf("after the failure (-before +after):\n%s", diff)
	}
	fake.Fault = nil
	mustSync(t, b, plan.Update{Plan: next})
	fresh := &nft.Fake{}
	mustSync(t, newBackend(t, fresh), plan.Update{Plan: next})
	if diff := cmp.Diff(fresh.Dump(), fake.Dump()); diff != "" {
		t.Errorf("after the retry (-fresh +got):\n%s", diff)
	}
}

// TestWithoutIPv6 shows that IPv4 works, and that what does not is reported.
func TestWithoutIPv6(t *testing.T) {
	fake := &nft.Fake{NoIPv6: true}
	b := newBackend(t, fake)
	for range 2 {
		report := mustSync(t, b, plan.Update{Plan: planOf(testNode(), everything()...), Full: true})
		if len(report.Unsupported) != 1 || report.Unsupported[0].Capability != "nftables for IPv6 (ip6)" {
			t.Errorf("unsupported: %+v", report.Unsupported)
		}
	}
	if l, err := fake.List(t.Context(), nft.Table{Family: nft.IPv4, Name: DefaultTable}); err != nil || l == nil {
		t.Errorf("IPv4: %v, %v", l, err)
	}
}

// TestLackingCapabilityIsNamed shows that what fails is explained, and the error returned.
func TestLackingCapabilityIsNamed(t *testing.T) {
	b := newBackend(t, &nft.Fake{Lacks: []string{"masq"}})
	report, err := b.Sync(t.Context(), plan.Update{Plan: planOf(testNode())})
	if err == nil || len(report.Unsupported) != 2 || report.Unsupported[0].Capability != "masquerade in nftables (ip)" {
		t.Errorf("Sync: %+v, %v; want masquerade to be missing in both families", report, err)
	}
	const want = "the kernel lacks masquerade: use a kernel >= 5.13 that is built with CONFIG_NFT_MASQ"
	if err := b.Supported(t.Context()); err == nil || err.Error() != want {
		t.Errorf("Supported: %v; want %s", err, want)
	}
}

// TestOtherLayoutIsReplaced starts on a table of ours as another version might have left it.
func TestOtherLayoutIsReplaced(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	conn := connIn(t, ns)
	const old = `table ip switchyard {
		map frontends { type ipv4_addr . inet_service : verdict; }
		chain prerouting { type nat hook prerouting priority -100; ip daddr . tcp dport vmap @frontends; }
	}`
	if out, err := ns.Command(t.Context(), "nft", old).CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	p := planOf(testNode(), everything()...)
	mustSync(t, newBackend(t, conn), plan.Update{Plan: p})
	fresh := &nft.Fake{}
	mustSync(t, newBackend(t, fresh), plan.Update{Plan: p})
	if diff := cmp.Diff(contents(t, fresh), contents(t, conn)); diff != "" {
		t.Errorf("after the replacement (-fresh +got):\n%s", diff)
	}
}

// TestKubeProxyIsRemoved removes what kube-proxy leaves, twice, and nothing else.
func TestKubeProxyIsRemoved(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	conn := connIn(t, ns)
	if out, err := ns.Command(t.Context(), "nft", "add table ip kube-proxy; add table ip6 kube-proxy; add table ip other").CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	for range 2 {
		if err := RemoveKubeProxy(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
	out, err := ns.Command(t.Context(), "nft", "list", "tables").CombinedOutput()
	if err != nil || string(out) != "table ip other\n" {
		t.Errorf("tables left: %s %v", out, err)
	}
}

// TestManyEndpoints starts with more endpoints than go in one transaction, of which the second fails.
func TestManyEndpoints(t *testing.T) {
	fake := &nft.Fake{}
	p := planOf(testNode(), many(1500, 10)...)
	calls := 0
	fake.Fault = func(call string) error {
		if call != "run" {
			return nil
		}
		calls++
		if calls == 2 {
			return errInjected
		}
		return nil
	}
	b := newBackend(t, fake)
	if _, err := b.Sync(t.Context(), plan.Update{Plan: p}); !errors.Is(err, errInjected) {
		t.Fatalf("Sync: %v; want the second transaction to fail", err)
	}
	mustSync(t, b, plan.Update{Plan: p})
	fresh := &nft.Fake{}
	mustSync(t, newBackend(t, fresh), plan.Update{Plan: p})
	if fresh.Dump() != fake.Dump() {
		t.Error("the ruleset differs from that of an undisturbed start")
	}
	if calls < 3 {
		t.Errorf("%d transactions; want the endpoints ahead of the rest", calls)
	}
}

// TestDuplicatesDoNotBlock gives two Services the same address, which the planner never does.
func TestDuplicatesDoNotBlock(t *testing.T) {
	fake := &nft.Fake{}
	one, other := many(1, 2)[0], many(1, 3)[0]
	other.Ref.Name = "other"
	p := planOf(testNode(), append(everything(), one, other)...)
	b := newBackend(t, fake)
	mustSync(t, b, plan.Update{Plan: p})
	next := &plan.Plan{Node: p.Node, Services: p.Services.Without(one.Ref)}
	mustSync(t, b, plan.Update{Plan: next, Changed: []model.Ref{one.Ref}})
	mustSync(t, b, plan.Update{Plan: next, Full: true})
	b = newBackend(t, fake)
	mustSync(t, b, plan.Update{Plan: next})
	fresh := &nft.Fake{}
	mustSync(t, newBackend(t, fresh), plan.Update{Plan: next})
	if diff := cmp.Diff(fresh.Dump(), fake.Dump()); diff != "" {
		t.Errorf("after one is gone (-fresh +got):\n%s", diff)
	}
}
