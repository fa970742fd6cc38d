package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy/nftables"
)

// faulty is a kernel of which every tenth operation fails, some of them after they were done.
type faulty struct {
	nftables.Kernel
	mu  sync.Mutex
	rng *rand.Rand
	off atomic.Bool
}

var errInjected = errors.New("injected")

func (f *faulty) strike() (before, after error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off.Load() || f.rng.IntN(10) != 0 {
		return nil, nil
	}
	if f.rng.IntN(2) == 0 {
		return errInjected, nil
	}
	return nil, errInjected
}

func (f *faulty) Run(ctx context.Context, tx *nft.Transaction) error {
	before, after := f.strike()
	if before != nil {
		return before
	}
	return errors.Join(f.Kernel.Run(ctx, tx), after)
}

func (f *faulty) List(ctx context.Context, t nft.Table) (*nft.Listing, error) {
	if before, _ := f.strike(); before != nil {
		return nil, before
	}
	return f.Kernel.List(ctx, t)
}

func (f *faulty) Elements(ctx context.Context, t nft.Table, set string, restart func(), visit func(nft.Element)) error {
	if before, _ := f.strike(); before != nil {
		return before
	}
	return f.Kernel.Elements(ctx, t, set, restart, visit)
}

// backend returns a new nftables backend on the kernel of a namespace, with faults.
func backend(t *testing.T, ns *lab.Namespace, seed uint64) (*nftables.Backend, *faulty) {
	t.Helper()
	var conn *nft.Conn
	if err := ns.Do(func() (err error) {
		conn, err = nft.Open()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	f := &faulty{Kernel: conn, rng: rand.New(rand.NewPCG(seed, 1))}
	b, err := nftables.New(nftables.Config{}, nftables.Deps{Kernel: f, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return b, f
}

// ruleset returns our IPv4 table as nft prints it, its parts in order.
func ruleset(t *testing.T, ns *lab.Namespace) []string {
	t.Helper()
	out, err := ns.Command(t.Context(), "nft", "list", "table", "ip", nftables.DefaultTable).CombinedOutput()
	if err != nil {
		return []string{string(out)}
	}
	parts := strings.FieldsFunc(string(out), func(r rune) bool { return strings.ContainsRune("\n,{}", r) })
	for i := range parts {
		parts[i] = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(parts[i]), "elements ="))
	}
	slices.Sort(parts)
	return parts
}

// wantRuleset returns the table that a backend without a past makes of the cluster.
func (r *rig) wantRuleset(t *testing.T, ns *lab.Namespace) []string {
	t.Helper()
	fresh, faults := backend(t, ns, 0)
	faults.off.Store(true)
	r.cluster.mu.Lock()
	defer r.cluster.mu.Unlock()
	p, _, _ := plan.NewPlanner(plan.Config{NodeName: thisNode, NodePorts: plan.NodePortSelection{Primary: true}}, nil).
		Apply(&r.cluster.snapshot, model.Changes{All: true})
	if _, err := fresh.Sync(t.Context(), plan.Update{Plan: p, Full: true}); err != nil {
		t.Fatal(err)
	}
	return ruleset(t, ns)
}

// TestFaultsOfTheKernelAndKills changes Services at random, against the real kernel, while every tenth operation fails,
// the syncer is killed in the middle of its work and started anew, and others delete our table.
func TestFaultsOfTheKernelAndKills(t *testing.T) {
	l := lab.ForTest(t)
	ns, clean := l.Namespace("node"), l.Namespace("clean")
	r := newRig(t)
	r.cluster.sync()
	changes := rand.New(rand.NewPCG(5, 6))
	for life := range uint64(8) {
		b, _ := backend(t, ns, life)
		r.deps.Backend = b
		r.deps.Planner = plan.NewPlanner(plan.Config{NodeName: thisNode, NodePorts: plan.NodePortSelection{Primary: true}}, nil)
		r.cluster.change(func() { r.cluster.pending.All = true })
		stop := r.start(t)
		for range 100 {
			r.randomChange(changes)
			time.Sleep(time.Duration(changes.IntN(3)) * time.Millisecond)
		}
		if life%3 == 1 {
			// It may be there or not, as the syncer is at work.
			_ = ns.Command(t.Context(), "nft", "delete", "table", "ip", nftables.DefaultTable).Run()
		}
		stop()
	}
	b, faults := backend(t, ns, 99)
	r.deps.Backend = b
	r.cluster.change(func() { r.cluster.pending.All = true })
	defer r.start(t)()
	want := r.wantRuleset(t, clean)
	r.expectRuleset(t, ns, want, "after all faults")
	faults.off.Store(true)
	for family, keyword := range map[string]string{"IPv4": "ip", "IPv6": "ip6"} {
		if out, err := ns.Command(t.Context(), "nft", "delete", "table", keyword, nftables.DefaultTable).CombinedOutput(); err != nil {
			t.Errorf("delete the %s table: %v: %s", family, err, out)
		}
	}
	r.expectRuleset(t, ns, want, "after others deleted our tables")
}

// randomChange adds, changes or removes one Service.
func (r *rig) randomChange(rng *rand.Rand) {
	n := rng.IntN(40)
	s := service(fmt.Sprint("s", n), fmt.Sprint("10.96.1.", 1+n), model.TCP, model.UDP)
	switch rng.IntN(4) {
	case 0:
		r.cluster.remove(s.Ref)
	case 1:
		r.cluster.service(s)
	default:
		var endpoints []string
		for range rng.IntN(6) {
			endpoints = append(endpoints, fmt.Sprintf("10.244.0.%d rs", 1+rng.IntN(200)))
		}
		r.cluster.slices(s.Ref, slice(s, endpoints...))
	}
}

// expectRuleset waits for the kernel to have what is wanted.
func (r *rig) expectRuleset(t *testing.T, ns *lab.Namespace, want []string, when string) {
	t.Helper()
	var diff string
	for deadline := time.Now().Add(2 * patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if diff = cmp.Diff(want, ruleset(t, ns)); diff == "" {
			return
		}
	}
	t.Errorf("%s: ruleset (-want +got):\n%s", when, diff)
}

// TestRule27_InTheKernel has a client send datagrams through real rules to an endpoint that then goes away.
func TestRule27_InTheKernel(t *testing.T) {
	l := lab.ForTest(t)
	lan := l.LAN("lan")
	node := l.Host(lan, "node", "192.0.2.11/24", "10.244.0.1/32", "10.244.0.2/32")
	r := newRig(t)
	b, faults := backend(t, node, 0)
	faults.off.Store(true)
	r.deps.Backend = b
	var table *conntrack.Table
	l.Must(node.Do(func() (err error) {
		table, err = conntrack.Open()
		return err
	}))
	defer table.Close()
	r.deps.Conntrack = table
	l.Must(node.Command(t.Context(), "ip", "route", "add", "10.96.0.0/16", "dev", "eth0").Run())

	s := service("dns", "10.96.0.53", model.UDP)
	r.cluster.service(s)
	r.cluster.slices(s.Ref, slice(s, "10.244.0.1 rs"))
	r.cluster.sync()
	defer r.start(t)()
	waitReady(t, r)
	client, heard := datagrams(t, node)
	heard.expect(t, client, "10.244.0.1:5353")
	// The endpoint that is left gets the very next datagram of the same client and port.
	r.cluster.slices(s.Ref, slice(s, "10.244.0.1 l", "10.244.0.2 rs"))
	heard.expect(t, client, "10.244.0.2:5353")
	r.cluster.slices(s.Ref, slice(s, "10.244.0.1 rs", "10.244.0.2 st"))
	waitReady(t, r)
	heard.expectOnly(t, client, "10.244.0.2:5353")
}
