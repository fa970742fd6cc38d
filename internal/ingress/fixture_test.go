package ingress

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/events"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/source"
)

// cluster is a source whose state the test writes.
type cluster struct {
	mu      sync.Mutex
	snap    model.Snapshot
	changes model.Changes
	wake    chan struct{}
	wanted  map[string]bool // "secrets shop/cert"
}

func newCluster() *cluster {
	c := &cluster{wake: make(chan struct{}, 1), changes: model.Changes{All: true}, wanted: map[string]bool{}}
	c.snap.IngressClasses = c.snap.IngressClasses.With("nginx", &model.IngressClass{Name: "nginx", Controller: ControllerNginx})
	return c
}

// change writes the state and says what changed.
func (c *cluster) change(by model.Changes, edit func(*model.Snapshot)) {
	c.mu.Lock()
	edit(&c.snap)
	c.changes = together(c.changes, by)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	synctest.Wait()
}

func only(ref model.Ref) map[model.Ref]struct{} { return map[model.Ref]struct{}{ref: {}} }

func (c *cluster) put(i *model.Ingress) {
	c.change(model.Changes{Ingresses: only(i.Ref)}, func(s *model.Snapshot) { s.Ingresses = s.Ingresses.With(i.Ref, i) })
}

func (c *cluster) remove(ref model.Ref) {
	c.change(model.Changes{Ingresses: only(ref)}, func(s *model.Snapshot) { s.Ingresses = s.Ingresses.Without(ref) })
}

func (c *cluster) secret(name, problem string) {
	ref := model.Ref{Namespace: "shop", Name: name}
	c.change(model.Changes{Secrets: only(ref)}, func(s *model.Snapshot) {
		s.Secrets = s.Secrets.With(ref, &model.Secret{Ref: ref, UID: "uid-" + name, Problem: problem})
	})
}

func (c *cluster) Next(ctx context.Context) (*model.Snapshot, model.Changes, error) {
	for {
		c.mu.Lock()
		if changes := c.changes; matters(changes) {
			snap := c.snap
			c.changes = model.Changes{}
			c.mu.Unlock()
			return &snap, changes, nil
		}
		c.mu.Unlock()
		select {
		case <-c.wake:
		case <-ctx.Done():
			return nil, model.Changes{}, ctx.Err()
		}
	}
}

func (c *cluster) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (c *cluster) Ready() error                  { return nil }

func (c *cluster) Want(kind source.Kind, ref model.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted[fmt.Sprint(kind, " ", ref)] = true
}

func (c *cluster) Drop(kind source.Kind, ref model.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.wanted, fmt.Sprint(kind, " ", ref))
}

func (c *cluster) wants() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.wanted))
}

// routes makes tables that have nothing but a host for each Ingress, and finds fault with an annotation.
type routes struct{ updates []model.Changes }

func (r *routes) References(i *model.Ingress) (out []model.Ref) {
	for _, t := range i.TLS {
		out = append(out, model.Ref{Namespace: i.Ref.Namespace, Name: t.Secret})
	}
	return out
}

func (r *routes) ConfigMaps(i *model.Ingress) (out []model.Ref) {
	if name, ok := i.Annotations.Get("custom-headers"); ok {
		out = append(out, model.Ref{Namespace: i.Ref.Namespace, Name: name})
	}
	return out
}

func (r *routes) Update(snap *model.Snapshot, changes model.Changes) (*route.Table, []route.Problem) {
	r.updates = append(r.updates, changes)
	var problems []route.Problem
	var names []string
	for ref, i := range snap.Ingresses.All() {
		names = append(names, ref.Name+"@"+i.UID)
		if what, bad := i.Annotations.Get("bad"); bad {
			problems = append(problems, route.Problem{Kind: "Ingress", Ref: ref, Reason: "Refused", Message: what, Denied: true})
		}
	}
	slices.Sort(names)
	return &route.Table{Default: &route.Host{Name: fmt.Sprint(names)}}, problems
}

// engine keeps what it is told to serve.
type engine struct {
	mu      sync.Mutex
	applied []string
	refuse  error
	running bool
}

func (e *engine) Apply(_ context.Context, t *route.Table) ([]route.Problem, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse != nil {
		return nil, e.refuse
	}
	e.applied = append(e.applied, t.Default.Name)
	return []route.Problem{{Kind: "Ingress", Ref: model.Ref{Namespace: "shop", Name: "limited"}, Reason: "EngineCannot", Message: "not here"}}, nil
}

func (e *engine) Run(ctx context.Context) error {
	e.set(func() { e.running = true })
	<-ctx.Done()
	e.set(func() { e.running = false })
	return nil
}

func (e *engine) set(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

func (e *engine) Ready() error { return nil }

func (e *engine) runs() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running
}

// last returns what is in force, and how many tables there were.
func (e *engine) last() (string, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.applied) == 0 {
		return "", 0
	}
	return e.applied[len(e.applied)-1], len(e.applied)
}

// recorded keeps Events.
type recorded struct {
	mu   sync.Mutex
	said []string
}

func (r *recorded) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (r *recorded) add(kind string, s events.Subject, reason, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf("%s %s %s %s %s: %s", kind, s.Kind, s.Ref, s.UID, reason, message))
}

func (r *recorded) Normal(s events.Subject, reason, message string) {
	r.add("Normal", s, reason, message)
}

func (r *recorded) Warning(s events.Subject, reason, message string) {
	r.add("Warning", s, reason, message)
}

// take returns what was said since it was called last, in order.
func (r *recorded) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.said
	r.said = nil
	slices.Sort(out)
	return out
}

// statuses keeps what it is told to write of.
type statuses struct {
	mu     sync.Mutex
	ours   int
	closed bool
}

func (s *statuses) Follow(ours model.Table[model.Ref, *model.Ingress], _ *model.Snapshot, _ model.Changes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ours = ours.Len()
}

func (s *statuses) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (s *statuses) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// bench is an entry at work.
type bench struct {
	t       *testing.T
	cluster *cluster
	routes  *routes
	engine  *engine
	events  *recorded
	status  *statuses
	entry   *Entry
	stop    context.CancelFunc
	ended   chan error
}

// start runs an entry until the test ends, or stop. Change what it begins with by prepare.
func start(t *testing.T, cfg Config, prepare func(*bench)) *bench {
	t.Helper()
	b := &bench{t: t, cluster: newCluster(), routes: &routes{}, engine: &engine{}, events: &recorded{}, status: &statuses{}, ended: make(chan error, 1)}
	if cfg.Classes.Controllers == nil {
		cfg.Classes = DefaultClasses()
	}
	if prepare != nil {
		prepare(b)
	}
	entry, err := New(cfg, Deps{
		Source: b.cluster, Snapshots: b.cluster, Routes: b.routes, Engine: b.engine, Events: b.events, Status: b.status,
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.entry = entry
	ctx, cancel := context.WithCancel(t.Context())
	b.stop = cancel
	go func() { b.ended <- entry.Run(ctx) }()
	t.Cleanup(cancel)
	synctest.Wait()
	return b
}

func testIngress(name string, edit ...func(*model.Ingress)) *model.Ingress {
	i := &model.Ingress{Ref: model.Ref{Namespace: "shop", Name: name}, UID: "1", Class: "nginx", Rules: []model.IngressRule{{
		Host: name + ".example.com", Paths: []model.IngressPath{{Path: "/"}, {Path: "/x"}},
	}}}
	for _, e := range edit {
		e(i)
	}
	return i
}

func withTLS(secret string) func(*model.Ingress) {
	return func(i *model.Ingress) { i.TLS = []model.IngressTLS{{Secret: secret}} }
}

func withUID(uid string) func(*model.Ingress) { return func(i *model.Ingress) { i.UID = uid } }

func withBad(what string) func(*model.Ingress) {
	return func(i *model.Ingress) { i.Annotations = model.Annotations{{Name: "bad", Value: what}} }
}
