package source

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/switchyard-net/switchyard/internal/model"
)

// contents is a snapshot as plain maps, to be compared.
type contents struct {
	Services map[model.Ref]*model.Service
	Slices   map[model.Ref][]*model.EndpointSlice
	Nodes    map[string]*model.Node
	CIDRs    map[string]*model.ServiceCIDR
}

func newContents() contents {
	return contents{
		Services: map[model.Ref]*model.Service{}, Slices: map[model.Ref][]*model.EndpointSlice{},
		Nodes: map[string]*model.Node{}, CIDRs: map[string]*model.ServiceCIDR{},
	}
}

func contentsOf(s *model.Snapshot) contents {
	return contents{
		maps.Collect(s.Services.All()), maps.Collect(s.Slices.All()),
		maps.Collect(s.Nodes.All()), maps.Collect(s.ServiceCIDRs.All()),
	}
}

// contents returns what a Source must make of the server's state.
func (s *apiServer) contents() contents {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newContents()
	for _, t := range s.tables {
		for _, o := range t.objects {
			switch o := o.(type) {
			case *corev1.Service:
				c.Services[refOf(o)] = Service(o)
			case *discoveryv1.EndpointSlice:
				if v := EndpointSlice(o); v != nil {
					owner := model.Ref{Namespace: o.Namespace, Name: v.Service}
					c.Slices[owner] = append(c.Slices[owner], v)
				}
			case *corev1.Node:
				c.Nodes[o.Name] = Node(o)
			case *networkingv1.ServiceCIDR:
				c.CIDRs[o.Name] = ServiceCIDR(o)
			}
		}
	}
	for _, list := range c.Slices {
		slices.SortFunc(list, func(a, b *model.EndpointSlice) int { return strings.Compare(a.Ref.Name, b.Ref.Name) })
	}
	return c
}

func diffContents(want, got contents) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty())
}

// replica is a consumer that believes only what Changes tells it.
type replica struct {
	mu      sync.Mutex
	held    contents
	latest  *model.Snapshot
	alls    int // snapshots with Changes.All
	changes int // names in all other Changes
}

// apply takes over what changed, as a component would.
func (r *replica) apply(s *model.Snapshot, c model.Changes) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = s
	if c.All {
		r.alls++
		r.held = contentsOf(s)
		return
	}
	r.changes += len(c.Services) + len(c.Nodes)
	for ref := range c.Services {
		v := s.View(ref)
		set(r.held.Services, ref, v.Service, v.Service != nil)
		set(r.held.Slices, ref, v.Slices, len(v.Slices) > 0)
	}
	for name := range c.Nodes {
		n, ok := s.Nodes.Get(name)
		set(r.held.Nodes, name, n, ok)
	}
	if c.ServiceCIDRs {
		r.held.CIDRs = maps.Collect(s.ServiceCIDRs.All())
	}
}

func set[K comparable, V any](m map[K]V, k K, v V, ok bool) {
	if ok {
		m[k] = v
	} else {
		delete(m, k)
	}
}

// counts returns how often everything, and how many names, were reported as changed.
func (r *replica) counts() (alls, changes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alls, r.changes
}

// check compares the replica and the snapshot with the server.
func (r *replica) check(t *testing.T, api *apiServer) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.latest == nil {
		t.Fatal("no snapshot was handed out")
	}
	if diff := diffContents(api.contents(), contentsOf(r.latest)); diff != "" {
		t.Errorf("snapshot differs from the API server (-server +snapshot):\n%s", diff)
	}
	if diff := diffContents(contentsOf(r.latest), r.held); diff != "" {
		t.Errorf("Changes left something out (-snapshot +consumer):\n%s", diff)
	}
}

// start runs a Source and a replica until the test ends.
func start(t *testing.T, client kubernetes.Interface, cfg Config) (*Source, *replica) {
	t.Helper()
	src, err := New(cfg, Deps{Client: client, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &replica{held: newContents()}
	sub := src.Subscribe()
	var wg sync.WaitGroup
	wg.Go(func() { _ = src.Run(ctx) })
	wg.Go(func() {
		for {
			s, c, err := sub.Next(ctx)
			if err != nil {
				return
			}
			r.apply(s, c)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return src, r
}
