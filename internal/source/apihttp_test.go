package source

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	restwatch "k8s.io/client-go/rest/watch"
)

// ServeHTTP answers a list or a watch.
func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := parseQuery(r)
	enc := encodingFor(r.Header.Get("Accept"))
	s.mu.Lock()
	faults, table := s.faults, s.tables[q.kind]
	if q.stream || !q.watch && q.next == 0 && q.limit != 1 {
		s.lists++
	}
	if (q.kind == Secrets || q.kind == ConfigMaps) && (q.field == "" || q.space == "") {
		s.nameless++
	}
	forbidden := s.forbidden[q.field]
	s.mu.Unlock()
	switch {
	case forbidden:
		enc.fail(w, apierrors.NewForbidden(schema.GroupResource{Resource: string(q.kind)}, q.field, nil))
	case faults.Status != 0:
		enc.fail(w, apierrors.NewGenericServerResponse(faults.Status, "get", schema.GroupResource{Resource: string(q.kind)}, "", "told to fail", 0, true))
	case table == nil || faults.Missing == q.kind:
		enc.fail(w, apierrors.NewNotFound(schema.GroupResource{Resource: string(q.kind)}, ""))
	case !q.watch:
		s.serveList(w, q, enc, faults)
	case q.stream && faults.NoStreams:
		enc.fail(w, apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil))
	default:
		s.serveWatch(w, r, q, enc, faults)
	}
}

func (s *apiServer) serveList(w http.ResponseWriter, q query, enc encoding, faults apiFaults) {
	if q.next > 0 && faults.ExpirePages {
		enc.fail(w, apierrors.NewResourceExpired("the continue token has expired"))
		return
	}
	s.mu.Lock()
	objects := s.tables[q.kind].selected(q)
	m := metav1.ListMeta{ResourceVersion: strconv.FormatInt(s.version, 10)}
	s.mu.Unlock()
	objects = objects[min(q.next, len(objects)):]
	if q.limit > 0 && len(objects) > q.limit {
		objects = objects[:q.limit]
		m.Continue = strconv.Itoa(q.next + q.limit)
	}
	list := listOf(q.kind, m)
	_ = meta.SetList(list, objects)
	w.Header().Set("Content-Type", enc.info.MediaType)
	_ = scheme.Codecs.EncoderForVersion(enc.info.Serializer, q.gv).Encode(list, w)
}

func listOf(k Kind, m metav1.ListMeta) runtime.Object {
	switch k {
	case Services:
		return &corev1.ServiceList{ListMeta: m}
	case EndpointSlices:
		return &discoveryv1.EndpointSliceList{ListMeta: m}
	case Nodes:
		return &corev1.NodeList{ListMeta: m}
	case Namespaces:
		return &corev1.NamespaceList{ListMeta: m}
	case Pods:
		return &corev1.PodList{ListMeta: m}
	case Ingresses:
		return &networkingv1.IngressList{ListMeta: m}
	case IngressClasses:
		return &networkingv1.IngressClassList{ListMeta: m}
	case Secrets:
		return &corev1.SecretList{ListMeta: m}
	case ConfigMaps:
		return &corev1.ConfigMapList{ListMeta: m}
	default:
		return &networkingv1.ServiceCIDRList{ListMeta: m}
	}
}

func emptyOf(k Kind) runtime.Object {
	return map[Kind]runtime.Object{
		Services: &corev1.Service{}, EndpointSlices: &discoveryv1.EndpointSlice{},
		Nodes: &corev1.Node{}, ServiceCIDRs: &networkingv1.ServiceCIDR{}, Namespaces: &corev1.Namespace{}, Pods: &corev1.Pod{},
		Ingresses: &networkingv1.Ingress{}, IngressClasses: &networkingv1.IngressClass{}, Secrets: &corev1.Secret{}, ConfigMaps: &corev1.ConfigMap{},
	}[k].DeepCopyObject()
}

// errCut ends a watch in the middle of what it was sending.
var errCut = errors.New("cut")

// cutWriter fails after some bytes; it never does where left is negative.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if c.left >= 0 && len(p) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		return 0, errCut
	}
	if c.left >= 0 {
		c.left -= len(p)
	}
	return c.ResponseWriter.Write(p)
}

// stream is one watch on its way.
type stream struct {
	q       query
	version int64 // all changes up to this one were sent
	send    func(watch.EventType, runtime.Object) error
}

func (s *apiServer) serveWatch(w http.ResponseWriter, r *http.Request, q query, enc encoding, faults apiFaults) {
	seconds, _ := strconv.Atoi(r.URL.Query().Get("timeoutSeconds"))
	timeout := time.NewTimer(time.Duration(seconds) * time.Second)
	defer timeout.Stop()
	bookmarks := time.NewTicker(time.Minute)
	defer bookmarks.Stop()
	w.Header().Set("Content-Type", enc.info.MediaType+";stream=watch")
	out := &cutWriter{ResponseWriter: w, left: -1}
	if faults.CutAfter > 0 {
		out.left = faults.CutAfter
	}
	enc.flush(w)
	st := &stream{q: q, send: enc.events(out, q.gv)}
	st.version, _ = strconv.ParseInt(q.version, 10, 64)
	if faults.Poison && !q.stream {
		_, _ = out.Write([]byte("\x00\x00\x00\x04oops"))
		return
	}
	err := s.initial(st, faults)
	for err == nil {
		var changed chan struct{}
		if changed, err = s.advance(st); err != nil {
			break
		}
		enc.flush(w)
		select {
		case <-r.Context().Done():
			return
		case <-timeout.C:
			return
		case <-changed:
		case <-bookmarks.C:
			err = s.bookmark(st, "", faults)
		}
	}
	if errors.Is(err, errCut) {
		panic(http.ErrAbortHandler)
	}
}

// initial sends the state that the client asked for.
func (s *apiServer) initial(st *stream, faults apiFaults) error {
	if st.q.version != "" {
		return nil
	}
	s.mu.Lock()
	objects := s.tables[st.q.kind].selected(st.q)
	st.version = s.version
	s.mu.Unlock()
	for _, o := range objects {
		if err := st.send(watch.Added, o); err != nil {
			return err
		}
	}
	if !st.q.stream || faults.IgnoreStreams {
		return nil
	}
	return s.bookmark(st, "true", faults)
}

func (s *apiServer) bookmark(st *stream, end string, faults apiFaults) error {
	if faults.NoBookmarks && end == "" {
		return nil
	}
	s.mu.Lock()
	current := s.version
	s.mu.Unlock()
	if current < st.version {
		return nil // as in the watch cache: nothing is said until the future has come
	}
	o := emptyOf(st.q.kind)
	m, _ := meta.Accessor(o)
	m.SetResourceVersion(strconv.FormatInt(st.version, 10))
	if end != "" {
		m.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: end})
	}
	return st.send(watch.Bookmark, o)
}

// advance sends what changed, and returns what is closed with the next change.
func (s *apiServer) advance(st *stream) (chan struct{}, error) {
	s.mu.Lock()
	t := s.tables[st.q.kind]
	changed, oldest := t.changed, t.oldest
	var events []apiEvent
	for _, e := range t.history {
		if e.version > st.version {
			events = append(events, e)
		}
	}
	s.mu.Unlock()
	if st.version < oldest {
		status := apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", st.version, oldest)).Status()
		_ = st.send(watch.Error, &status)
		return nil, io.EOF
	}
	for _, e := range events {
		st.version = e.version
		before, after := st.q.matches(e.prev), st.q.matches(e.now) && e.kind != watch.Deleted
		kind := watch.Modified
		switch {
		case !before && !after:
			continue
		case !before:
			kind = watch.Added
		case !after:
			kind = watch.Deleted
		}
		if err := st.send(kind, e.now); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// encoding is the wire format that a client accepts.
type encoding struct{ info runtime.SerializerInfo }

func encodingFor(accept string) encoding {
	mediaType := runtime.ContentTypeJSON
	if strings.Contains(accept, runtime.ContentTypeProtobuf) {
		mediaType = runtime.ContentTypeProtobuf
	}
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), mediaType)
	return encoding{info: info}
}

func (e encoding) fail(w http.ResponseWriter, err *apierrors.StatusError) {
	status := err.Status()
	w.Header().Set("Content-Type", e.info.MediaType)
	w.WriteHeader(int(status.Code))
	_ = scheme.Codecs.EncoderForVersion(e.info.Serializer, schema.GroupVersion{Version: "v1"}).Encode(&status, w)
}

func (e encoding) flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// events returns what writes one watch event.
func (e encoding) events(w io.Writer, gv schema.GroupVersion) func(watch.EventType, runtime.Object) error {
	framer := e.info.StreamSerializer.NewFrameWriter(w)
	of := func(gv schema.GroupVersion) *restwatch.Encoder {
		return restwatch.NewEncoder(streaming.NewEncoder(framer, e.info.StreamSerializer.Serializer),
			scheme.Codecs.EncoderForVersion(e.info.Serializer, gv))
	}
	objects, errs := of(gv), of(schema.GroupVersion{Version: "v1"})
	return func(kind watch.EventType, o runtime.Object) error {
		if kind == watch.Error {
			return errs.Encode(&watch.Event{Type: kind, Object: o})
		}
		// Encoding sets the kind in the object for the time that it takes.
		return objects.Encode(&watch.Event{Type: kind, Object: o.DeepCopyObject()})
	}
}
