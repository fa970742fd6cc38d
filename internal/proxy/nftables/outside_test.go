package nftables

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

func sortStrings(list []string) { slices.Sort(list) }

// TestOutsideChangesAreUndone lets nft(8) change our ruleset behind our back.
func TestOutsideChangesAreUndone(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	conn := connIn(t, ns)
	b := newBackend(t, conn)
	u := plan.Update{Plan: planOf(testNode(), everything()...), Full: true}
	mustSync(t, b, u)
	want := contents(t, conn)
	for _, commands := range []string{
		"delete table ip switchyard",
		"delete table ip6 switchyard",
		"flush ruleset",
		"delete element ip switchyard endpoints { 10.96.0.1 . tcp . 80 . 1 }",
		"add element ip switchyard cluster-ips { 10.9.9.9 }",
		"delete element ip switchyard frontends { 10.96.0.1 . tcp . 80 }",
		"delete element ip switchyard frontends { 10.96.0.1 . tcp . 80 }; add element ip switchyard frontends { 10.96.0.1 . tcp . 80 : drop }",
		"flush chain ip switchyard services",
		"insert rule ip switchyard prerouting accept",
		"add chain ip switchyard foreign",
		"add chain ip switchyard foreign { type filter hook input priority 0; }",
		"add set ip switchyard foreign { type ipv4_addr; }",
		"flush chain ip switchyard prerouting; delete chain ip switchyard prerouting; add chain ip switchyard prerouting { type nat hook prerouting priority -50; }",
		"flush set ip switchyard node-port-addresses",
	} {
		out, err := ns.Command(t.Context(), "nft", commands).CombinedOutput()
		if err != nil {
			t.Fatalf("nft %s: %v\n%s", commands, err, out)
		}
		if intact, err := b.Intact(t.Context()); intact || err != nil {
			t.Errorf("after %q: Intact() = %v, %v", commands, intact, err)
		}
		report := mustSync(t, b, u)
		if diff := cmp.Diff(want, contents(t, conn)); diff != "" {
			t.Errorf("after %q (-want +got):\n%s", commands, diff)
		}
		if report.Repaired == 0 {
			t.Errorf("after %q: %+v, want repairs", commands, report)
		}
		if intact, err := b.Intact(t.Context()); !intact || err != nil {
			t.Errorf("after the repair of %q: Intact() = %v, %v", commands, intact, err)
		}
	}
}

// TestRestartKeepsEverything starts a second backend on what a first one left: it changes nothing, so the kernel's
// generation stays, and goes on with small changes from there.
func TestRestartKeepsEverything(t *testing.T) {
	conn := connIn(t, lab.ForTest(t).Namespace("node"))
	p := planOf(testNode(), everything()...)
	mustSync(t, newBackend(t, conn), plan.Update{Plan: p})
	before, err := conn.Generation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := newBackend(t, conn)
	if r := mustSync(t, b, plan.Update{Plan: p}); r.Operations != 0 {
		t.Errorf("the restarted backend made %d changes", r.Operations)
	}
	if after, err := conn.Generation(t.Context()); err != nil || after != before {
		t.Errorf("generation %d, %v; want %d still", after, err, before)
	}
	ref := model.Ref{Namespace: "default", Name: "web"}
	next := &plan.Plan{Node: p.Node, Services: p.Services.Without(ref)}
	mustSync(t, b, plan.Update{Plan: next, Changed: []model.Ref{ref}})
	want := &nft.Fake{}
	mustSync(t, newBackend(t, want), plan.Update{Plan: next})
	if diff := cmp.Diff(contents(t, want), contents(t, conn)); diff != "" {
		t.Errorf("after the change (-want +got):\n%s", diff)
	}
}

// TestMemoryOfGoneEndpointsIsForgotten shows which memories a change removes, and that a restart keeps the rest.
func TestMemoryOfGoneEndpointsIsForgotten(t *testing.T) {
	fake := &nft.Fake{}
	b := newBackend(t, fake)
	old := planOf(testNode(), sticky())
	mustSync(t, b, plan.Update{Plan: old})
	id := b.families[0].ids.of("default/sticky/tcp/http", false)
	table := nft.Table{Family: nft.IPv4, Name: DefaultTable}
	for client, endpoint := range map[byte]byte{1: 0, 2: 1} {
		key := binary.NativeEndian.AppendUint32([]byte{192, 0, 2, client}, id)
		fake.Learn(table, affinity, key, []byte{10, 1, endpoint, 3, 8080 >> 8, 8080 & 0xff, 0, 0})
	}
	b = newBackend(t, fake)
	mustSync(t, b, plan.Update{Plan: old})
	if got := memory(t, fake); len(got) != 2 {
		t.Errorf("after a restart %q; want both", got)
	}
	next := changed(sticky(), "count")
	mustSync(t, b, plan.Update{Plan: planOf(testNode(), next), Changed: []model.Ref{next.Ref}})
	want := []string{"192.0.2.1 : 10.1.0.3 . 8080"}
	if diff := cmp.Diff(want, memory(t, fake)); diff != "" {
		t.Errorf("memories of 10.1.1.3, which is gone, and 10.1.0.3 (-want +got):\n%s", diff)
	}
}

// memory returns the clients that are remembered, and their endpoints.
func memory(t *testing.T, k Kernel) (list []string) {
	t.Helper()
	set := tableSets(nft.IPv4)[setCount]
	table := nft.Table{Family: nft.IPv4, Name: DefaultTable}
	err := k.Elements(t.Context(), table, affinity, func() { list = nil }, func(e nft.Element) {
		client, endpoint := nft.FormatKey(set.KeyType>>6, e.Key), nft.FormatKey(set.DataType, e.Data)
		list = append(list, client+" : "+endpoint)
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestUnsupportedIsReported shows what a plan asks for and this mode cannot do.
func TestUnsupportedIsReported(t *testing.T) {
	p := planOf(testNode())
	p.Node.NodePorts.Addrs = addrs("127.0.0.1", "192.0.2.10")
	report := mustSync(t, newBackend(t, &nft.Fake{}), plan.Update{Plan: p})
	if len(report.Unsupported) != 1 || report.Unsupported[0].Capability != "node ports on the loopback address 127.0.0.1" {
		t.Errorf("unsupported: %+v", report.Unsupported)
	}
}

// TestProbeLeavesNothing runs all probes on a kernel that has everything.
func TestProbeLeavesNothing(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	b := newBackend(t, connIn(t, ns))
	for _, f := range b.families {
		if lacking, err := b.probe(t.Context(), f); lacking != nil || err != nil {
			t.Errorf("%s lacks %+v, %v", f.table.Family, lacking, err)
		}
	}
	if err := b.Supported(t.Context()); err != nil {
		t.Errorf("Supported: %v", err)
	}
	if out, err := ns.Command(t.Context(), "nft", "list", "ruleset").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("after the probes: %s %v", out, err)
	}
}
