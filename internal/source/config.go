package source

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Kind is a kind of object that a Source can read, under its resource name.
type Kind string

// The kinds.
const (
	Services       Kind = "services"
	EndpointSlices Kind = "endpointslices"
	Nodes          Kind = "nodes"
	ServiceCIDRs   Kind = "servicecidrs"
	Namespaces     Kind = "namespaces"
	Pods           Kind = "pods"
	Ingresses      Kind = "ingresses"
	IngressClasses Kind = "ingressclasses"
	// Secrets and ConfigMaps are read by name only: see Source.Want.
	Secrets    Kind = "secrets"
	ConfigMaps Kind = "configmaps"
)

// ProxyKinds are the kinds that a service proxy needs. DNS needs Namespaces besides.
func ProxyKinds() []Kind { return []Kind{Services, EndpointSlices, Nodes, ServiceCIDRs} }

// Label selectors that leave out, at the API server, what no service proxy serves (reference/service-proxy.md, rule 2).
// A process that also answers DNS needs the headless ones.
const (
	ProxyServiceSelector = "!" + serviceProxyName
	ProxySliceSelector   = "!" + headlessLabel
)

// defaultStaleAfter leaves room for two of the bookmarks that the API server sends each minute, and a reconnection.
const defaultStaleAfter = 3 * time.Minute

// Config says what to read. The zero Config reads everything that concerns a service proxy, and also what other proxies
// serve.
type Config struct {
	// Kinds to read; nil: ProxyKinds. A snapshot has nothing of the others.
	Kinds []Kind
	// NodeName restricts Nodes to that of this name, and Pods to those of that node; "": all.
	NodeName string
	// ServiceSelector and SliceSelector are label selectors for Services and EndpointSlices; "": all.
	ServiceSelector, SliceSelector string
	// Namespace restricts Services, EndpointSlices, Pods and Ingresses to one; "": all.
	Namespace string
	// AnnotationPrefix is that of the annotations of Ingresses, without the slash; "": DefaultAnnotationPrefix.
	AnnotationPrefix string
	// NamedWatches is how many Secrets and how many ConfigMaps have a watch of their own; 0: 500. See Source.Want.
	NamedWatches int
	// OmitPodNames leaves Endpoint.Pod empty, which saves 50 bytes an endpoint where nobody asks for it.
	OmitPodNames bool
	// Labels keeps the labels of Services and Namespaces, for ParseSelector.
	Labels bool
	// StaleAfter is for how long the API server may be silent before Ready reports ErrStale; 0: 3 minutes.
	StaleAfter time.Duration
}

// Deps are what a Source uses.
type Deps struct {
	// Client speaks to the API server; NewClient makes one that suits.
	Client kubernetes.Interface
	Log    *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// withDefaults returns c with its defaults filled in, or an error that names what is wrong in it.
func (c Config) withDefaults() (Config, error) {
	all := append(ProxyKinds(), Namespaces, Pods, Ingresses, IngressClasses)
	var errs []error
	for _, k := range c.Kinds {
		if !slices.Contains(all, k) {
			errs = append(errs, fmt.Errorf("source: kind %q is not known; use some of %q", k, all))
		}
	}
	if c.Kinds == nil {
		c.Kinds = ProxyKinds()
	}
	for name, s := range map[string]string{"ServiceSelector": c.ServiceSelector, "SliceSelector": c.SliceSelector} {
		if _, err := labels.Parse(s); err != nil {
			errs = append(errs, fmt.Errorf("source: %s %q is not a label selector: %w", name, s, err))
		}
	}
	if c.AnnotationPrefix == "" {
		c.AnnotationPrefix = DefaultAnnotationPrefix
	}
	if c.NamedWatches == 0 {
		c.NamedWatches = defaultNamedWatches
	}
	if c.StaleAfter == 0 {
		c.StaleAfter = defaultStaleAfter
	}
	return c, errors.Join(errs...)
}

// largeReads reads what responses hold of it at once: events are small, and HTTP/2 sends a message back for every read. The
// watches of single objects are left alone: there may be thousands, and they have little to say.
type largeReads struct{ http.RoundTripper }

// readSize is how much is read at once, in bytes.
const readSize = 64 << 10

func (l largeReads) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(request)
	if err == nil && !strings.HasPrefix(request.URL.Query().Get("fieldSelector"), metav1.ObjectNameField) {
		response.Body = bufferedBody{bufio.NewReaderSize(response.Body, readSize), response.Body}
	}
	return response, err
}

type bufferedBody struct {
	io.Reader
	io.Closer
}

// NewClient returns a client for a Source: it asks for protobuf, a fifth of the cost of JSON, and leaves pacing to the
// Source, which makes only a handful of requests.
func NewClient(cfg *rest.Config) (kubernetes.Interface, error) {
	c := rest.CopyConfig(cfg)
	c.ContentType = "application/vnd.kubernetes.protobuf"
	c.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	c.QPS = -1
	c.DisableCompression = true // compressing costs both ends a third of their time
	c.Wrap(func(inner http.RoundTripper) http.RoundTripper { return largeReads{inner} })
	c.Timeout = 0 // a watch is one long request; each request has its own limit
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make a client for the API server %s: %w", cfg.Host, err)
	}
	return client, nil
}
