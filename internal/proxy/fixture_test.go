package proxy_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy"
)

const thisNode = "n1"

// cluster is a source of snapshots: what a test changes, Next hands out.
type cluster struct {
	mu       sync.Mutex
	snapshot model.Snapshot
	pending  model.Changes
	wake     chan struct{}
	synced   bool
}

func newCluster() *cluster {
	c := &cluster{wake: make(chan struct{}, 1)}
	c.pending.All = true
	c.node(&model.Node{Name: thisNode, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.11")}})
	return c
}

// sync lets Next begin to answer.
func (c *cluster) sync() *cluster {
	c.change(func() { c.synced = true })
	return c
}

func (c *cluster) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	c.snapshot.Version++
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *cluster) service(s *model.Service) {
	c.change(func() {
		c.snapshot.Services = c.snapshot.Services.With(s.Ref, s)
		c.touch(s.Ref)
	})
}

func (c *cluster) slices(ref model.Ref, slices ...*model.EndpointSlice) {
	c.change(func() {
		c.snapshot.Slices = c.snapshot.Slices.With(ref, slices)
		c.touch(ref)
	})
}

func (c *cluster) remove(ref model.Ref) {
	c.change(func() {
		c.snapshot.Services = c.snapshot.Services.Without(ref)
		c.snapshot.Slices = c.snapshot.Slices.Without(ref)
		c.touch(ref)
	})
}

func (c *cluster) node(n *model.Node) {
	c.change(func() {
		c.snapshot.Nodes = c.snapshot.Nodes.With(n.Name, n)
		c.pending.Nodes = map[string]struct{}{n.Name: {}}
	})
}

func (c *cluster) deleteNode() {
	c.change(func() {
		c.snapshot.Nodes = c.snapshot.Nodes.Without(thisNode)
		c.pending.Nodes = map[string]struct{}{thisNode: {}}
	})
}

func (c *cluster) touch(ref model.Ref) {
	if c.pending.Services == nil {
		c.pending.Services = map[model.Ref]struct{}{}
	}
	c.pending.Services[ref] = struct{}{}
}

// Next is proxy.Subscription.
func (c *cluster) Next(ctx context.Context) (*model.Snapshot, model.Changes, error) {
	for {
		c.mu.Lock()
		if c.synced && (c.pending.All || c.pending.Services != nil || c.pending.Nodes != nil) {
			snapshot, changes := c.snapshot, c.pending
			c.pending = model.Changes{}
			c.mu.Unlock()
			return &snapshot, changes, nil
		}
		c.mu.Unlock()
		select {
		case <-c.wake:
		case <-ctx.Done():
			return nil, model.Changes{}, ctx.Err()
		}
	}
}

// kernel is a Backend in memory that keeps the contract of one, and fails a test that does not keep its part.
type kernel struct {
	t *testing.T
	// fail is asked before each Sync.
	fail func() error

	mu       sync.Mutex
	services map[model.Ref]*plan.Service
	node     plan.Node
	calls    []call
	failed   bool // the last Sync; the next must be full
	touched  bool // by others, since the last Sync
	tables   int  // times that Cleanup was called
}

// call is one Sync.
type call struct {
	at      time.Time
	full    bool
	changed int
	failed  bool
}

func (k *kernel) Sync(_ context.Context, u plan.Update) (plan.Report, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := call{at: time.Now(), full: u.Full, changed: len(u.Changed)}
	if (k.failed || len(k.calls) == 0) && !u.Full {
		k.t.Error("a Sync that is not full at the start or after an error: what changed before is lost")
	}
	var err error
	if k.fail != nil {
		err = k.fail()
	}
	k.failed, c.failed = err != nil, err != nil
	k.calls = append(k.calls, c)
	if err != nil {
		return plan.Report{}, err
	}
	report := plan.Report{Rulesets: []plan.Ruleset{{Family: model.IPv4, Table: "nat", Rules: len(k.services), Chains: 2}}}
	if u.Full {
		if k.touched {
			report.Repaired = 1
		}
		k.touched, k.services, k.node = false, maps.Collect(u.Plan.Services.All()), u.Plan.Node
		return report, nil
	}
	for _, ref := range u.Changed {
		delete(k.services, ref)
		if s, ok := u.Plan.Services.Get(ref); ok {
			k.services[ref] = s
		}
	}
	return report, nil
}

func (k *kernel) Cleanup(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tables++
	k.services = nil
	return nil
}

// dump returns the Services that the kernel has, as text.
func (k *kernel) dump() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, s := range k.services {
		out = append(out, s.Dump())
	}
	slices.Sort(out)
	return strings.Join(out, "")
}

// planned returns the part of the plan that is the node's, as last applied.
func (k *kernel) planned() plan.Node {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.node
}

func (k *kernel) history() []call {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.calls)
}

// inspected is a kernel that can tell whether others touched it.
type inspected struct{ *kernel }

func (k inspected) Intact(context.Context) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.touched, nil
}

// wipe does what somebody with `nft flush ruleset` does.
func (k *kernel) wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.services, k.touched = nil, true
}

// events collects what users are told, "object reason message" each.
type events struct {
	mu   sync.Mutex
	said []string
}

func (e *events) ServiceWarning(s *model.Service, reason, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said = append(e.said, fmt.Sprintf("%s %s %s", s.Ref, reason, message))
}

func (e *events) NodeWarning(reason, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said = append(e.said, fmt.Sprintf("node %s %s", reason, message))
}

func (e *events) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.said)
}

// rig is a Syncer with its surroundings.
type rig struct {
	cluster   *cluster
	kernel    *kernel
	conntrack *conntrack.Fake
	events    *events
	health    *proxy.Health
	registry  *prometheus.Registry
	config    proxy.Config
	deps      proxy.Deps
}

func newRig(t *testing.T) *rig {
	r := &rig{
		cluster: newCluster(), kernel: &kernel{t: t}, conntrack: &conntrack.Fake{}, events: &events{},
		registry: prometheus.NewRegistry(), config: proxy.Config{NodeName: thisNode},
	}
	metrics := proxy.NewMetrics(r.registry, "iptables")
	r.health = proxy.NewHealth(time.Minute, metrics)
	r.deps = proxy.Deps{
		Subscription: r.cluster,
		Planner:      plan.NewPlanner(plan.Config{NodeName: thisNode, NodePorts: plan.NodePortSelection{Primary: true}}, nil),
		Backend:      r.kernel, Conntrack: r.conntrack, Events: r.events, Health: r.health, Metrics: metrics,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	return r
}

// start runs the Syncer until the function it returns is called.
func (r *rig) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- proxy.NewSyncer(r.config, r.deps).Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// want returns what the kernel should have of the cluster, as text.
func (r *rig) want() string {
	r.cluster.mu.Lock()
	defer r.cluster.mu.Unlock()
	p, _, _ := plan.NewPlanner(plan.Config{NodeName: thisNode, NodePorts: plan.NodePortSelection{Primary: true}}, nil).
		Apply(&r.cluster.snapshot, model.Changes{All: true})
	want := &kernel{services: maps.Collect(p.Services.All())}
	return want.dump()
}

// service returns a Service with one port of each protocol that is given.
func service(name, ip string, protocols ...model.Protocol) *model.Service {
	s := &model.Service{Ref: model.Ref{Namespace: "default", Name: name}, UID: "uid-" + name, ClusterIPs: []netip.Addr{netip.MustParseAddr(ip)}}
	for _, p := range protocols {
		s.Ports = append(s.Ports, model.ServicePort{Name: strings.ToLower(p.String()), Protocol: p, Port: 53})
	}
	return s
}

// slice returns a slice of UDP and TCP endpoints "address state", with state of the letters r(eady), s(erving),
// t(erminating) and l(ocal).
func slice(service *model.Service, endpoints ...string) *model.EndpointSlice {
	out := &model.EndpointSlice{
		Ref: model.Ref{Namespace: service.Ref.Namespace, Name: service.Ref.Name + "-1"}, Service: service.Ref.Name, Family: model.IPv4,
	}
	for _, p := range service.Ports {
		out.Ports = append(out.Ports, model.EndpointPort{Name: p.Name, Protocol: p.Protocol, Port: 5353})
	}
	for _, text := range endpoints {
		address, state, _ := strings.Cut(text, " ")
		e := model.Endpoint{Addr: netip.MustParseAddr(address), Placement: &model.Placement{Node: "elsewhere"}}
		for letter, condition := range map[string]model.Conditions{"r": model.Ready, "s": model.Serving, "t": model.Terminating} {
			if strings.Contains(state, letter) {
				e.Conditions |= condition
			}
		}
		if strings.Contains(state, "l") {
			e.Placement = &model.Placement{Node: thisNode}
		}
		out.Endpoints = append(out.Endpoints, e)
	}
	return out
}

func newSyncer(r *rig) *proxy.Syncer { return proxy.NewSyncer(r.config, r.deps) }

// neverIntact is a kernel of which one can never tell.
type neverIntact struct{ *kernel }

func (neverIntact) Intact(context.Context) (bool, error) { return false, nil }
