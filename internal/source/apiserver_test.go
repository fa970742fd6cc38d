package source

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/switchyard-net/switchyard/internal/model"
)

// apiServer is a small API server: it speaks the list and watch protocol of Kubernetes over HTTP, in JSON or protobuf,
// and can be told to misbehave as real ones and their networks do.
type apiServer struct {
	mu sync.Mutex
	// version is the resource version of the last change.
	version int64
	tables  map[Kind]*apiTable
	faults  apiFaults
	lists   int // requests for a whole state, as stream or first page
	// nameless are requests for Secrets or ConfigMaps without a name, forbidden the names that may not be read.
	nameless  int
	forbidden map[string]bool
}

// apiFaults are the ways in which an apiServer misbehaves until told otherwise.
type apiFaults struct {
	NoStreams     bool // sendInitialEvents is refused, as with the feature gate WatchList off
	IgnoreStreams bool // sendInitialEvents is not known, as before Kubernetes 1.27
	ExpirePages   bool // continue tokens have always expired
	Status        int  // every request fails with this HTTP status
	Missing       Kind // this kind is not there
	CutAfter      int  // watches are cut off after this many bytes
	NoBookmarks   bool // watches get no bookmarks
	Poison        bool // each watch begins with an event that cannot be decoded
}

// apiTable is the store of one kind with its history.
type apiTable struct {
	objects map[model.Ref]apiObject
	history []apiEvent
	// oldest is the version below which the history is lost.
	oldest  int64
	changed chan struct{} // closed and replaced with each change
}

type apiObject = runtime.Object

type apiEvent struct {
	version   int64
	kind      watch.EventType
	prev, now apiObject // prev is nil for additions
}

func newAPIServer() *apiServer {
	s := &apiServer{version: 100_000, tables: map[Kind]*apiTable{}}
	for _, k := range append(ProxyKinds(), Namespaces, Pods, Ingresses, IngressClasses, Secrets, ConfigMaps) {
		s.tables[k] = &apiTable{objects: map[model.Ref]apiObject{}, changed: make(chan struct{})}
	}
	return s
}

func kindOf(o runtime.Object) Kind {
	switch o.(type) {
	case *corev1.Service:
		return Services
	case *discoveryv1.EndpointSlice:
		return EndpointSlices
	case *corev1.Node:
		return Nodes
	case *networkingv1.ServiceCIDR:
		return ServiceCIDRs
	case *corev1.Namespace:
		return Namespaces
	case *corev1.Pod:
		return Pods
	case *networkingv1.Ingress:
		return Ingresses
	case *networkingv1.IngressClass:
		return IngressClasses
	case *corev1.Secret:
		return Secrets
	case *corev1.ConfigMap:
		return ConfigMaps
	}
	panic(fmt.Sprintf("no kind for %T", o))
}

// put creates or replaces an object.
func (s *apiServer) put(o runtime.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	m, _ := meta.Accessor(o)
	m.SetResourceVersion(strconv.FormatInt(s.version, 10))
	t := s.tables[kindOf(o)]
	e := apiEvent{version: s.version, kind: watch.Added, prev: t.objects[refOf(m)], now: o}
	if e.prev != nil {
		e.kind = watch.Modified
	}
	t.objects[refOf(m)] = o
	t.record(e)
}

// remove deletes an object.
func (s *apiServer) remove(k Kind, ref model.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[k]
	o := t.objects[ref]
	if o == nil {
		return
	}
	s.version++
	delete(t.objects, ref)
	last := o.DeepCopyObject()
	m, _ := meta.Accessor(last)
	m.SetResourceVersion(strconv.FormatInt(s.version, 10))
	t.record(apiEvent{version: s.version, kind: watch.Deleted, prev: o, now: last})
}

func (t *apiTable) record(e apiEvent) {
	t.history = append(t.history, e)
	t.wake()
}

func (t *apiTable) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// compact forgets the history, so that older watches expire.
func (s *apiServer) compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		t.history, t.oldest = nil, s.version
		t.wake()
	}
}

// restore replaces the history by another one that ends at version, with the same objects, as a restored backup does.
func (s *apiServer) restore(version int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = version
	for _, t := range s.tables {
		t.history, t.oldest = nil, version
		for ref, o := range t.objects {
			o = o.DeepCopyObject()
			m, _ := meta.Accessor(o)
			m.SetResourceVersion(strconv.FormatInt(version, 10))
			t.objects[ref] = o
		}
		t.wake()
	}
}

// misbehave sets the faults.
func (s *apiServer) misbehave(f apiFaults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
	for _, t := range s.tables {
		t.wake()
	}
}

// stateReads returns how often a whole state was asked for.
func (s *apiServer) stateReads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists
}

// selected returns the objects of a table that a request selects, in a fixed order.
func (t *apiTable) selected(q query) []apiObject {
	var out []apiObject
	for _, ref := range slices.SortedFunc(maps.Keys(t.objects), func(a, b model.Ref) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	}) {
		if q.matches(t.objects[ref]) {
			out = append(out, t.objects[ref])
		}
	}
	return out
}

// query is what a request asks for.
type query struct {
	kind    Kind
	space   string // namespace; "": all
	gv      schema.GroupVersion
	labels  labels.Selector
	field   string // value of the field selector: metadata.name, of Pods spec.nodeName
	watch   bool
	stream  bool
	limit   int
	next    int // offset that the continue token stands for
	version string
}

func parseQuery(r *http.Request) query {
	v := r.URL.Query()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	q := query{
		kind:    Kind(parts[len(parts)-1]),
		gv:      schema.GroupVersion{Version: "v1"},
		watch:   v.Get("watch") != "",
		stream:  v.Get("sendInitialEvents") == "true",
		version: v.Get("resourceVersion"),
	}
	if parts[0] == "apis" {
		q.gv.Group = parts[1]
	}
	if n := len(parts); n > 2 && parts[n-3] == "namespaces" {
		q.space = parts[n-2]
	}
	q.limit, _ = strconv.Atoi(v.Get("limit"))
	q.next, _ = strconv.Atoi(v.Get("continue"))
	q.labels, _ = labels.Parse(v.Get("labelSelector"))
	_, q.field, _ = strings.Cut(v.Get("fieldSelector"), "=")
	return q
}

func (q query) matches(o apiObject) bool {
	if o == nil {
		return false
	}
	m, _ := meta.Accessor(o)
	field := m.GetName()
	if pod, ok := o.(*corev1.Pod); ok {
		field = pod.Spec.NodeName
	}
	return (q.space == "" || q.space == m.GetNamespace()) && q.labels.Matches(labels.Set(m.GetLabels())) && (q.field == "" || q.field == field)
}
