package plugin

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/source"
)

// cluster is the state that a test gives to the plugin, one snapshot at a time.
type cluster struct {
	snap    model.Snapshot
	changes model.Changes
	next    chan struct{} // a token for each publish
	mu      sync.Mutex
}

func newCluster() *cluster { return &cluster{next: make(chan struct{}, 1)} }

// readFile applies the objects of a file.
func (c *cluster) readFile(t *testing.T, path string) *cluster {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c.apply(t, string(text))
	return c
}

// apply creates or replaces objects, in YAML.
func (c *cluster) apply(t *testing.T, text string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var kind struct{ Kind string }
		decode(t, doc, &kind)
		switch kind.Kind {
		case "Namespace":
			var o corev1.Namespace
			decode(t, doc, &o)
			c.snap.Namespaces = c.snap.Namespaces.With(o.Name, source.Namespace(&o))
			c.changes.Namespaces = true
		case "Service":
			var o corev1.Service
			decode(t, doc, &o)
			s := source.Service(&o)
			s.Labels = source.Namespace(&corev1.Namespace{ObjectMeta: o.ObjectMeta}).Labels
			c.snap.Services = c.snap.Services.With(s.Ref, s)
			c.changed(s.Ref)
		case "EndpointSlice":
			var o discoveryv1.EndpointSlice
			decode(t, doc, &o)
			s := source.EndpointSlice(&o)
			owner := model.Ref{Namespace: o.Namespace, Name: s.Service}
			var held []*model.EndpointSlice
			before, _ := c.snap.Slices.Get(owner)
			for _, b := range before {
				if b.Ref != s.Ref {
					held = append(held, b)
				}
			}
			c.snap.Slices = c.snap.Slices.With(owner, append(held, s))
			c.changed(owner)
		default:
			t.Fatalf("no kind in %q", doc)
		}
	}
}

func decode(t *testing.T, doc string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(doc), into); err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
}

func (c *cluster) changed(ref model.Ref) {
	if c.changes.Services == nil {
		c.changes.Services = map[model.Ref]struct{}{}
	}
	c.changes.Services[ref] = struct{}{}
}

// publish makes the present state the next snapshot.
func (c *cluster) publish() { c.next <- struct{}{} }

// Next implements zone.Snapshots.
func (c *cluster) Next(ctx context.Context) (*model.Snapshot, model.Changes, error) {
	select {
	case <-ctx.Done():
		return nil, model.Changes{}, ctx.Err()
	case <-c.next:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.snap.Version++
	snap, changes := c.snap, c.changes
	changes.All = snap.Version == 1
	c.changes = model.Changes{}
	return &snap, changes, nil
}

// live returns a table that follows c, for the duration of the test.
func (c *cluster) live(t *testing.T, config zone.Config) *zone.Live {
	t.Helper()
	live := zone.NewLive(config)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = live.Run(ctx, c) }()
	t.Cleanup(func() { cancel(); <-done })
	return live
}

// synced is live once the table has the present state.
func (c *cluster) synced(t *testing.T, config zone.Config) *zone.Live {
	t.Helper()
	live := c.live(t, config)
	c.publish()
	select {
	case <-live.Synced():
	case <-time.After(patience):
		t.Fatal("the first snapshot was not taken")
	}
	return live
}

// testDeps are the dependencies of a server in a test. The pods of the node are the loopback addresses, from which tests
// ask.
func testDeps(live *zone.Live) Deps {
	pods := map[string]Pod{
		"127.0.0.1":  {Ref: model.Ref{Namespace: "default", Name: "client"}, Labels: "app\x00client\x00"},
		"10.244.1.1": {Ref: model.Ref{Namespace: "default", Name: "web-7d4b9c-abcde"}},
	}
	return Deps{
		Live: live, Log: slog.New(slog.DiscardHandler), Keeps: Keeps{PodNames: true, Labels: true}, Selector: source.ParseSelector,
		PodAt: func(a netip.Addr) (Pod, bool) { p, ok := pods[a.String()]; return p, ok },
		Addrs: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("10.244.0.2")} },
	}
}
