package iptables

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// TestOutsideChangesAreUndone lets iptables-restore change our rules behind our back.
func TestOutsideChangesAreUndone(t *testing.T) {
	for _, v := range variants() {
		t.Run(string(v), func(t *testing.T) {
			ns := lab.ForTest(t).Namespace("node")
			b := newBackend(t, connIn(t, ns, v), settings{})
			mustSync(t, b, plan.Update{Plan: planOf(testNode(), everyFeature()...)})
			for _, commands := range outsideChanges() {
				outside(t, ns, v, commands)
				checkRepair(t, b, commands, v == iptables.NFT || commands != sameSize)
			}
		})
	}
}

// sameSize replaces a rule by one that takes as much room: the legacy variant's stamp does not show it, so that the next
// comparison of everything finds it.
const sameSize = "*nat\n-R SWITCHYARD-MARK 1 -j ACCEPT\nCOMMIT\n"

// outsideChanges returns what others may do, for iptables-restore.
func outsideChanges() []string {
	return []string{
		"*nat\n-F\n-X\nCOMMIT\n*filter\n-F\n-X\nCOMMIT\n",
		"*nat\n-F\nCOMMIT\n",
		"*nat\n-F SWYS-default/web:http\nCOMMIT\n",
		"*nat\n-D SWYS-default/web:http 1\nCOMMIT\n",
		"*nat\n-A SWYS-default/web:http -j RETURN\nCOMMIT\n",
		sameSize,
		"*nat\n-D PREROUTING 1\nCOMMIT\n",
		"*nat\n-A PREROUTING -j SWITCHYARD-SERVICES\nCOMMIT\n",
		"*nat\n-A PREROUTING -j SWYS-default/web:http\nCOMMIT\n",
		"*nat\n:SWYS-default/gone:http - [0:0]\n-A OUTPUT -g SWYS-default/gone:http\nCOMMIT\n",
		"*nat\n:SWITCHYARD-OTHER - [0:0]\n:MINE - [0:0]\n-A MINE -j SWITCHYARD-OTHER\nCOMMIT\n",
		"*filter\n-F FORWARD\n-A FORWARD -j SWITCHYARD-VERDICTS\nCOMMIT\n",
		"*filter\n-F SWITCHYARD-VERDICTS\nCOMMIT\n",
	}
}

func outside(t *testing.T, ns *lab.Namespace, v iptables.Variant, commands string) {
	t.Helper()
	command := ns.Command(t.Context(), "iptables-"+string(v)+"-restore", "--noflush", "-w", "60")
	command.Stdin = strings.NewReader(commands)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", commands, err, out)
	}
}

// checkRepair wants a backend to undo an outside change, which it notices if the change shows.
func checkRepair(t *testing.T, b *Backend, change string, shows bool) {
	t.Helper()
	want := fresh(t, b.last)
	if intact, err := b.Intact(t.Context()); intact == shows || err != nil {
		t.Errorf("after %q: Intact() = %v, %v", change, intact, err)
	}
	report := mustSync(t, b, plan.Update{Plan: b.last, Full: true})
	if diff := cmp.Diff(want, saved(t, b.kernel)); diff != "" {
		t.Errorf("after %q (-want +got):\n%s", change, diff)
	}
	if report.Repaired == 0 {
		t.Errorf("after %q: %+v, want repairs", change, report)
	}
	if intact, err := b.Intact(t.Context()); !intact || err != nil {
		t.Errorf("after the repair of %q: Intact() = %v, %v", change, intact, err)
	}
}

// TestOthersRulesStay shows that neither a Sync nor Cleanup touches what is not ours, and that changes of it are no reason
// for repairs.
func TestOthersRulesStay(t *testing.T) {
	const others = "*nat\n:KUBE-SERVICES - [0:0]\n:DOCKER - [0:0]\n-A PREROUTING -m comment --comment \"say -j SWITCHYARD-MARK here\" -j DOCKER\n-A DOCKER -j RETURN\nCOMMIT\n" +
		"*filter\n-A INPUT -s 192.0.2.1/32 -j DROP\nCOMMIT\n*mangle\n-A FORWARD -j ACCEPT\nCOMMIT\n"
	for _, v := range variants() {
		t.Run(string(v), func(t *testing.T) {
			ns := lab.ForTest(t).Namespace("node")
			outside(t, ns, v, others)
			before := rulesIn(t, ns, v)
			b := newBackend(t, connIn(t, ns, v), settings{})
			p := planOf(testNode(), everyFeature()...)
			mustSync(t, b, plan.Update{Plan: p})
			outside(t, ns, v, "*nat\n-A DOCKER -j ACCEPT\nCOMMIT\n")
			if r := mustSync(t, b, plan.Update{Plan: p, Full: true}); r.Operations+r.Repaired != 0 {
				t.Errorf("others changed their own rules: %+v", r)
			}
			outside(t, ns, v, "*nat\n-D DOCKER -j ACCEPT\nCOMMIT\n")
			if err := b.Cleanup(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, rulesIn(t, ns, v)); diff != "" {
				t.Errorf("after Cleanup (-before +after):\n%s", diff)
			}
		})
	}
}

// rulesIn returns the chains and rules of a namespace, without counters.
func rulesIn(t *testing.T, ns *lab.Namespace, v iptables.Variant) string {
	t.Helper()
	out, err := ns.Command(t.Context(), "iptables-"+string(v)+"-save").Output()
	if err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			line, _, _ = strings.Cut(line, " [")
			kept.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	return kept.String()
}

// TestRestartKeepsEverything starts a second backend on what a first one left: it changes nothing, and goes on with small
// changes from there.
func TestRestartKeepsEverything(t *testing.T) {
	for _, v := range variants() {
		t.Run(string(v), func(t *testing.T) {
			conn := connIn(t, lab.ForTest(t).Namespace("node"), v)
			p := planOf(testNode(), append(everyFeature(), many(100, 3, true)...)...)
			mustSync(t, newBackend(t, conn, settings{}), plan.Update{Plan: p})
			before, err := conn.Stamp(t.Context(), model.IPv4)
			if err != nil {
				t.Fatal(err)
			}
			b := newBackend(t, conn, settings{})
			if r := mustSync(t, b, plan.Update{Plan: p}); r.Operations != 0 {
				t.Errorf("the restarted backend made %d changes", r.Operations)
			}
			if after, err := conn.Stamp(t.Context(), model.IPv4); err != nil || after != before {
				t.Errorf("stamp %v, %v; want %v still", after, err, before)
			}
			ref := model.Ref{Namespace: "default", Name: "web"}
			next := &plan.Plan{Node: p.Node, Services: p.Services.Without(ref)}
			mustSync(t, b, plan.Update{Plan: next, Changed: []model.Ref{ref}})
			compareWithFresh(t, conn, next)
		})
	}
}
