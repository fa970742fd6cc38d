package proxytest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/proxy/quarantine"
)

// RunQuarantine has endpoints fail behind a backend in every way that the API server does not see, while clients connect
// without pause: those that hang or are cut off must leave, and come back, and those that are only slow, or of a kind that
// cannot be judged, must stay. It reports how long that took.
//
// The test that calls it is run in processes of its own too, for servers that are stopped: it must do nothing else.
func RunQuarantine(t *testing.T, newBackend NewBackend) {
	if serveAsChild() {
		return
	}
	t.Parallel() // with its like: most of its time is waiting
	n := newNetwork(t, nil)
	// The very test and subtest, for children.
	self := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	t.Run("Endpoints", func(t *testing.T) { newWard(t, n, self, newBackend).run(endpointCases()) })
	t.Run("LostNode", func(t *testing.T) { newWard(t, n, self, newBackend).run(lostNodeCases()) })
}

// ward is a node with a Watch, and Services whose endpoints fail.
type ward struct {
	*network
	t       *testing.T
	self    string   // as -test.run names the test
	objects *objects // guarded by mu
	wake    chan struct{}
	mu      sync.Mutex
	watch   *quarantine.Watch
	applied atomic.Pointer[plan.Plan]
	events  strings.Builder // guarded by mu
	// everOut holds "SERVICE ENDPOINT" of each endpoint that was ever in quarantine; guarded by mu.
	everOut map[string]bool
}

// newWard starts the syncer and the Watch of node-1, until the end of the test.
func newWard(t *testing.T, n *network, self string, newBackend NewBackend) *ward {
	base, err := baseObjects()
	if err != nil {
		t.Fatal(err)
	}
	w := &ward{network: n, t: t, self: self, objects: base, wake: make(chan struct{}, 1), everOut: map[string]bool{}}
	node := n.namespaces[thisNode]
	w.must(node.SetSysctl("net.netfilter.nf_conntrack_acct", "1"))
	var events *conntrack.Events
	var table *conntrack.Table
	w.must(node.Do(func() (err error) {
		if table, err = conntrack.Open(); err == nil {
			events, err = conntrack.Listen()
		}
		return err
	}))
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	registry := prometheus.NewRegistry()
	w.watch = quarantine.New(quarantine.On, quarantine.Deps{
		Events: events, Table: table, Reporter: w, Metrics: registry, Log: log,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return node.Dial(ctx, network, netip.MustParseAddrPort(address))
		},
	})
	metrics := proxy.NewMetrics(registry, "test")
	c, err := parseConfig("")
	w.must(err)
	backend := newBackend(t, node)
	syncer := proxy.NewSyncer(proxy.Config{NodeName: thisNode}, proxy.Deps{
		Subscription: w, Planner: plan.NewPlanner(c.plan, nodeAddrs()), Backend: backend, Quarantine: w, Events: w,
		Health: proxy.NewHealth(time.Minute, metrics), Metrics: metrics, Log: log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{w.watch.Run, syncer.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		w.must(events.Close())
		running.Wait()
		w.must(table.Close())
		if err := backend.Cleanup(context.Background()); err != nil {
			t.Errorf("Cleanup: %v", err)
		}
	})
	return w
}

// must fails this part of the test if an error is not nil.
func (w *ward) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// testWriter writes to the log of a test.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(line []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// Next is proxy.Subscription's.
func (w *ward) Next(ctx context.Context) (*model.Snapshot, model.Changes, error) {
	select {
	case <-ctx.Done():
		return nil, model.Changes{}, ctx.Err()
	case <-w.wake:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	snap, changes := w.objects.snapshot()
	return snap, changes, nil
}

// Applied and Silent are proxy.Quarantine's: those of the Watch, with an ear to them.
func (w *ward) Applied(p *plan.Plan, snap *model.Snapshot) {
	w.applied.Store(p)
	w.mu.Lock()
	for ref := range p.Services.All() {
		for _, name := range w.out(ref.Name) {
			w.everOut[ref.Name+" "+name] = true
		}
	}
	w.mu.Unlock()
	w.watch.Applied(p, snap)
}

func (w *ward) Silent() <-chan plan.Silence { return w.watch.Silent() }

// ServiceWarning, ServiceNormal and NodeWarning take Events.
func (w *ward) ServiceWarning(s *model.Service, reason, message string) { w.event(s, reason, message) }

func (w *ward) ServiceNormal(s *model.Service, reason, message string) { w.event(s, reason, message) }

func (w *ward) NodeWarning(reason, message string) { w.t.Errorf("%s: %s", reason, message) }

func (w *ward) event(s *model.Service, reason, message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&w.events, "%s %s %s\n", s.Ref.Name, reason, message)
}

// out returns the endpoints of a Service that are in quarantine, by the names of their hosts.
func (w *ward) out(service string) []string {
	p := w.applied.Load()
	if p == nil {
		return nil
	}
	s, ok := p.Services.Get(model.Ref{Namespace: "ns", Name: service})
	if !ok {
		return nil
	}
	var out []string
	for _, e := range s.Pools[0].Quarantined {
		name, _, _ := strings.Cut(endpointName(e.Addr), ":")
		out = append(out, name)
	}
	return out
}

// child starts a server in a process of its own, in the namespace of a host.
func (w *ward) child(host string, how manner, name, address string) *os.Process {
	ns := w.namespaces[host]
	command := ns.Command(context.Background(), os.Args[0], "-test.run="+w.self, "-test.count=1")
	command.Env = append(os.Environ(), serverVariable+"="+fmt.Sprintf("%s %s %s", how, name, address))
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	w.must(command.Start())
	w.t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGKILL) // it may be gone already
		_ = command.Wait()
	})
	return command.Process
}
