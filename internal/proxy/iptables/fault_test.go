package iptables

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// TestFailedSyncKeepsOldRules shows that a change that the kernel refuses leaves no trace, and that the next Sync makes
// up for it although it is not told again what changed.
func TestFailedSyncKeepsOldRules(t *testing.T) {
	fake := &iptables.Fake{}
	b := newBackend(t, fake, settings{})
	services := everyFeature()
	mustSync(t, b, plan.Update{Plan: planOf(testNode(), services...)})
	before := saved(t, fake)
	next := planOf(testNode(), services[1:]...)
	fake.Fault = func(call string) error {
		if call == "restore" {
			return errInjected
		}
		return nil
	}
	u := plan.Update{Plan: next, Changed: []model.Ref{services[0].Ref}}
	if _, err := b.Sync(t.Context(), u); !errors.Is(err, errInjected) {
		t.Fatalf("Sync: %v; want the injected fault", err)
	}
	if diff := cmp.Diff(before, saved(t, fake)); diff != "" {
		t.Errorf("after the failure (-before +after):\n%s", diff)
	}
	fake.Fault = nil
	mustSync(t, b, plan.Update{Plan: next})
	compareWithFresh(t, fake, next)
}

// cut is a kernel whose input ends in the middle, as when the process is killed.
type cut struct{ *iptables.Conn }

func (c cut) Restore(ctx context.Context, f model.Family, write func(io.Writer) error) error {
	return c.Conn.Restore(ctx, f, func(w io.Writer) error {
		var all strings.Builder
		if err := write(&all); err != nil {
			return err
		}
		nat := strings.Index(all.String(), "*nat")
		_, err := io.WriteString(w, all.String()[:nat+(len(all.String())-nat)/2])
		return errors.Join(err, errInjected)
	})
}

// TestKilledInTheMiddle cuts the restore of a large change short: the rules of before stay in force, and the process that
// comes after goes on from there.
func TestKilledInTheMiddle(t *testing.T) {
	for _, v := range variants() {
		t.Run(string(v), func(t *testing.T) {
			conn := connIn(t, lab.ForTest(t).Namespace("node"), v)
			p := planOf(testNode(), everyFeature()...)
			mustSync(t, newBackend(t, conn, settings{}), plan.Update{Plan: p})
			before := saved(t, conn)
			next := planOf(testNode(), append(many(300, 5, false), everyFeature()[2:]...)...)
			if _, err := newBackend(t, cut{conn}, settings{}).Sync(t.Context(), plan.Update{Plan: next}); err == nil {
				t.Error("Sync: no error")
			}
			if diff := cmp.Diff(before, saved(t, conn)); diff != "" {
				t.Errorf("after the failure (-before +after):\n%s", diff)
			}
			mustSync(t, newBackend(t, conn, settings{}), plan.Update{Plan: next})
			compareWithFresh(t, conn, next)
		})
	}
}

// TestHeldLock shows that a lock that others hold for a while is waited for, and for longer is an error that says so.
func TestHeldLock(t *testing.T) {
	fake := &iptables.Fake{Held: lockTries - 1}
	b := newBackend(t, fake, settings{})
	p := planOf(testNode(), everyFeature()...)
	mustSync(t, b, plan.Update{Plan: p})
	compareWithFresh(t, fake, p)
	fake.Held = lockTries
	next := planOf(testNode())
	_, err := b.Sync(t.Context(), plan.Update{Plan: next, Full: true})
	if !iptables.IsLocked(err) || !strings.Contains(err.Error(), "lock") {
		t.Errorf("Sync: %v; want the lock as the cause", err)
	}
	mustSync(t, b, plan.Update{Plan: next})
	compareWithFresh(t, fake, next)
}

// TestWithoutIPv6 shows that IPv4 works, and that what does not is reported.
func TestWithoutIPv6(t *testing.T) {
	fake := &iptables.Fake{NoIPv6: true}
	b := newBackend(t, fake, settings{})
	web := everyFeature()[0]
	for range 2 {
		report := mustSync(t, b, plan.Update{Plan: planOf(testNode(), web), Full: true})
		if len(report.Unsupported) != 1 || report.Unsupported[0].Capability != "iptables for IPv6" {
			t.Errorf("unsupported: %+v", report.Unsupported)
		}
	}
	if rules := strings.Join(saved(t, ipv4Only{fake}), "\n"); !strings.Contains(rules, "SWYS-default/web:http") {
		t.Errorf("IPv4:\n%s", rules)
	}
	if err := b.Cleanup(t.Context()); err != nil {
		t.Errorf("Cleanup: %v", err)
	}
}

// ipv4Only has nothing of IPv6.
type ipv4Only struct{ *iptables.Fake }

func (k ipv4Only) Save(ctx context.Context, f model.Family, table string, line func([]byte) error) error {
	if f == model.IPv6 {
		return nil
	}
	return k.Fake.Save(ctx, f, table, line)
}

// TestLackingCapabilityIsNamed shows that what fails is explained, and the error returned.
func TestLackingCapabilityIsNamed(t *testing.T) {
	b := newBackend(t, &iptables.Fake{Lacks: []string{"statistic"}}, settings{})
	report, err := b.Sync(t.Context(), plan.Update{Plan: planOf(testNode(), everyFeature()...)})
	if err == nil || len(report.Unsupported) < 2 || report.Unsupported[0].Capability != "match statistic of iptables (IPv4)" {
		t.Errorf("Sync: %+v, %v; want statistic to be missing in both families", report, err)
	}
}

// TestLackingMatchOfSomeServices shows that a kernel without the match that session affinity needs serves all the rest.
func TestLackingMatchOfSomeServices(t *testing.T) {
	fake := &iptables.Fake{Lacks: []string{"recent"}}
	b := newBackend(t, fake, settings{})
	report := mustSync(t, b, plan.Update{Plan: planOf(testNode(), everyFeature()...)})
	var got []string
	for _, u := range report.Unsupported {
		for _, ref := range u.Services {
			got = append(got, u.Capability+": "+ref.String())
		}
	}
	want := []string{"session affinity in iptables (IPv4): default/sticky", "session affinity in iptables (IPv6): default/sticky"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unsupported (-want +got):\n%s", diff)
	}
	if rules := strings.Join(saved(t, fake), "\n"); !strings.Contains(rules, "-A SWYS-default/sticky:http -p tcp -m statistic") {
		t.Errorf("the Service is not served without affinity:\n%s", rules)
	}
}

// TestLoopbackNodePorts follows the setting that lets them work, and the guard that it needs (CVE-2020-8558).
func TestLoopbackNodePorts(t *testing.T) {
	fake, set := &iptables.Fake{}, settings{}
	b := newBackend(t, fake, set)
	guarded := func() bool { return strings.Contains(strings.Join(saved(t, fake), "\n"), "-j "+martians) }
	mustSync(t, b, plan.Update{Plan: planOf(testNode())})
	if _, touched := set[routeLocalnet]; touched || guarded() {
		t.Errorf("without loopback addresses: %v, guarded %t", set, guarded())
	}
	n := nodeWithLoopback()
	n.NodePorts.Addrs = append(n.NodePorts.Addrs, netip.IPv6Loopback())
	report := mustSync(t, b, plan.Update{Plan: planOf(n)})
	if set[routeLocalnet] != 1 || !guarded() {
		t.Errorf("with 127.0.0.1: %v, guarded %t", set, guarded())
	}
	if len(report.Unsupported) != 1 || report.Unsupported[0].Capability != "node ports on the loopback address ::1" {
		t.Errorf("unsupported: %+v", report.Unsupported)
	}
	b = newBackend(t, fake, set)
	mustSync(t, b, plan.Update{Plan: planOf(testNode())})
	if set[routeLocalnet] != 0 || guarded() {
		t.Errorf("after they are switched off: %v, guarded %t", set, guarded())
	}
}

// TestBulkIsTheSame starts with very many chains in the nft variant, which takes another way: see change.list.
func TestBulkIsTheSame(t *testing.T) {
	p := planOf(testNode(), append(many(bulk+100, 2, true), everyFeature()...)...)
	conn := connIn(t, lab.ForTest(t).Namespace("node"), iptables.NFT)
	b := newBackend(t, conn, settings{})
	mustSync(t, b, plan.Update{Plan: p})
	if b.listing != works {
		t.Errorf("listing %d, want %d: this iptables-nft-restore does not do what 1.8.9 does", b.listing, works)
	}
	compareWithFresh(t, conn, p)
}

// TestDuplicatesDoNotBlock gives two Services the same address, which the planner never does.
func TestDuplicatesDoNotBlock(t *testing.T) {
	fake := &iptables.Fake{}
	one, other := many(1, 2, false)[0], many(1, 3, false)[0]
	other.Ref.Name = "other"
	p := planOf(testNode(), append(everyFeature(), one, other)...)
	b := newBackend(t, fake, settings{})
	mustSync(t, b, plan.Update{Plan: p})
	next := &plan.Plan{Node: p.Node, Services: p.Services.Without(one.Ref)}
	mustSync(t, b, plan.Update{Plan: next, Changed: []model.Ref{one.Ref}})
	mustSync(t, b, plan.Update{Plan: next, Full: true})
	compareWithFresh(t, fake, next)
}
