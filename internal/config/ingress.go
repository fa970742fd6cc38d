package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/switchyard-net/switchyard/internal/model"
)

// The engines of an entry.
const (
	EngineNative = "native"
	EngineNginx  = "nginx"
)

// Ingress is the configuration of `switchyard ingress`. Objects are named as namespace/name; "": none.
type Ingress struct {
	Engine   string
	Classes  IngressClasses
	Watch    IngressWatch
	Objects  IngressObjects
	Listen   IngressListen
	Status   IngressStatus
	Election IngressElection
	Health   IngressHealth
	Shutdown IngressShutdown
	// AccessLog is the file that gets the access log; "": standard output.
	AccessLog string
	// Pod is that of this process, as namespace/name; Node is the node it runs on, for hints of topology. Both may be empty.
	Pod, Node string
}

// IngressClasses says which Ingresses are ours.
type IngressClasses struct {
	Controllers          []string
	Name                 string
	ByName, WithoutClass bool
}

// IngressWatch says what is read.
type IngressWatch struct {
	Namespace, NamespaceSelector string
	AnnotationsPrefix            string
}

// IngressObjects are the objects that flags name.
type IngressObjects struct {
	ConfigMap, TCPServices, UDPServices string
	DefaultBackend, DefaultCertificate  string
}

// IngressListen says where clients connect.
type IngressListen struct {
	HTTP, HTTPS int // ports; 0: none
	// Addresses to listen on; empty: all.
	Addresses []string
	// Passthrough looks at the server name of TLS connections, for annotation ssl-passthrough.
	Passthrough bool
	// HTTP3 serves HTTP/3 at the port of HTTPS.
	HTTP3 bool
	// Loops is the number of event loops of the native engine; 0: one for each CPU.
	Loops int
}

// IngressStatus says what is written into the status of Ingresses.
type IngressStatus struct {
	Update, RemoveOnShutdown bool
	Service                  string
	Addresses                []string
	InternalAddresses        bool
}

// IngressElection says how one of several processes is chosen to write.
type IngressElection struct {
	Enabled bool
	ID      string // name of the Lease, in the namespace of the pod
	TTL     time.Duration
}

// IngressHealth says where the process shows its state.
type IngressHealth struct {
	Host string
	Port int
	// Socket is a path, for `switchyard ingress routes`; "": none.
	Socket    string
	Profiling bool
}

// IngressShutdown says how the process ends.
type IngressShutdown struct {
	// Grace is how long everything goes on as before, Drain how long requests that are under way then have.
	Grace, Drain time.Duration
}

// DefaultIngress returns ingress-nginx's defaults, with our own controller beside its.
func DefaultIngress() *Ingress {
	return &Ingress{
		Engine:   EngineNative,
		Classes:  IngressClasses{Controllers: []string{"k8s.io/ingress-nginx", "switchyard.net/ingress"}, Name: "nginx"},
		Watch:    IngressWatch{AnnotationsPrefix: "nginx.ingress.kubernetes.io"},
		Listen:   IngressListen{HTTP: 80, HTTPS: 443},
		Status:   IngressStatus{Update: true, RemoveOnShutdown: true},
		Election: IngressElection{Enabled: true, ID: "ingress-nginx-leader", TTL: 30 * time.Second},
		Health:   IngressHealth{Port: 10254},
		Shutdown: IngressShutdown{Drain: 4 * time.Minute},
	}
}

// Validate returns one error for each setting that cannot work, joined. Each names the flag and the way out.
func (c *Ingress) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Engine != EngineNative && c.Engine != EngineNginx {
		fail("--engine=%s: want %s or %s", c.Engine, EngineNative, EngineNginx)
	}
	if c.Engine == EngineNginx && c.Listen.HTTP3 {
		fail("--enable-http3 is for --engine=%s: Debian's nginx cannot do HTTP/3", EngineNative)
	}
	for _, controller := range c.Classes.Controllers {
		for _, problem := range validation.IsDomainPrefixedPath(nil, controller) {
			fail("--controller-class=%s: %s", controller, problem.Detail)
		}
	}
	if len(c.Classes.Controllers) == 0 && !c.Classes.ByName {
		fail("--controller-class is empty: name the controller of your IngressClasses, such as k8s.io/ingress-nginx")
	}
	if c.Classes.ByName && c.Classes.Name == "" {
		fail("--ingress-class-by-name needs --ingress-class=NAME")
	}
	if c.Watch.Namespace != "" && c.Watch.NamespaceSelector != "" {
		fail("--watch-namespace and --watch-namespace-selector exclude each other: leave one out")
	}
	if problems := validation.IsDNS1123Subdomain(c.Watch.AnnotationsPrefix); len(problems) > 0 {
		fail("--annotations-prefix=%s: %s", c.Watch.AnnotationsPrefix, strings.Join(problems, "; "))
	}
	for _, o := range c.objects() {
		if _, err := ParseRef(o.value); o.value != "" && err != nil {
			fail("--%s=%s: %w", o.flag, o.value, err)
		}
	}
	for _, o := range []namedObject{{"publish-service", c.Status.Service}, {"default-backend-service", c.Objects.DefaultBackend}} {
		if ref := RefOf(o.value); c.Watch.Namespace != "" && ref.Name != "" && ref.Namespace != c.Watch.Namespace {
			fail("--%s=%s is not read because of --watch-namespace=%s: name one in that namespace", o.flag, o.value, c.Watch.Namespace)
		}
	}
	errs = append(errs, c.validateListen(), c.validateStatus())
	return errors.Join(errs...)
}

type namedObject struct{ flag, value string }

func (c *Ingress) objects() []namedObject {
	return []namedObject{
		{"configmap", c.Objects.ConfigMap},
		{"tcp-services-configmap", c.Objects.TCPServices},
		{"udp-services-configmap", c.Objects.UDPServices},
		{"default-backend-service", c.Objects.DefaultBackend},
		{"default-ssl-certificate", c.Objects.DefaultCertificate},
		{"publish-service", c.Status.Service},
	}
}

func (c *Ingress) validateListen() error {
	var errs []error
	ports := map[int]string{}
	for _, p := range []struct {
		flag string
		port int
	}{{"http-port", c.Listen.HTTP}, {"https-port", c.Listen.HTTPS}, {"healthz-port", c.Health.Port}} {
		switch {
		case p.port == 0:
		case p.port < 1 || p.port > 65535:
			errs = append(errs, fmt.Errorf("--%s=%d: want a port from 1 to 65535, or 0 for none", p.flag, p.port))
		case ports[p.port] != "":
			errs = append(errs, fmt.Errorf("--%s=%d is the port of --%s too: choose another one", p.flag, p.port, ports[p.port]))
		}
		ports[p.port] = p.flag
	}
	for _, a := range c.Listen.Addresses {
		if _, err := netip.ParseAddr(a); err != nil {
			errs = append(errs, fmt.Errorf("--bind=%s: want IP addresses", a))
		}
	}
	if c.Listen.Loops < 0 || c.Listen.Loops > 1024 {
		errs = append(errs, fmt.Errorf("--loops=%d: want 1 to 1024, or 0 for one for each CPU", c.Listen.Loops))
	}
	if c.Shutdown.Grace < 0 || c.Shutdown.Drain < 0 {
		errs = append(errs, fmt.Errorf("--shutdown-grace-period and --drain-timeout must not be negative"))
	}
	return errors.Join(errs...)
}

func (c *Ingress) validateStatus() error {
	var errs []error
	if c.Status.Service != "" && len(c.Status.Addresses) > 0 {
		errs = append(errs, errors.New("--publish-service and --publish-status-address exclude each other: leave one out"))
	}
	for _, a := range c.Status.Addresses {
		_, err := netip.ParseAddr(a)
		if err != nil && len(validation.IsDNS1123Subdomain(a)) > 0 {
			errs = append(errs, fmt.Errorf("--publish-status-address=%s: want IP addresses and host names, with commas between them", a))
		}
	}
	if c.Pod != "" {
		if _, err := ParseRef(c.Pod); err != nil {
			errs = append(errs, fmt.Errorf("$POD_NAMESPACE and $POD_NAME make %q: set both, by fieldRef, or none", c.Pod))
		}
	}
	if c.Election.Enabled && c.Election.TTL < 5*time.Second {
		errs = append(errs, fmt.Errorf("--election-ttl=%s: must be 5s at least; 30s is the default", c.Election.TTL))
	}
	if problems := validation.IsDNS1123Subdomain(c.Election.ID); c.Election.Enabled && len(problems) > 0 {
		errs = append(errs, fmt.Errorf("--election-id=%s: %s", c.Election.ID, strings.Join(problems, "; ")))
	}
	return errors.Join(errs...)
}

// ConfigMaps and Secrets return what flags name, but for the ConfigMap of the settings.
func (o IngressObjects) ConfigMaps() []model.Ref { return refs(o.TCPServices, o.UDPServices) }

// Secrets returns the Secrets that flags name.
func (o IngressObjects) Secrets() []model.Ref { return refs(o.DefaultCertificate) }

func refs(names ...string) []model.Ref {
	var out []model.Ref
	for _, name := range names {
		if ref := RefOf(name); ref != (model.Ref{}) && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	return out
}

// ParseRef reads "namespace/name".
func ParseRef(s string) (model.Ref, error) {
	namespace, name, ok := strings.Cut(s, "/")
	if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return model.Ref{}, errors.New("want namespace/name of an object")
	}
	return model.Ref{Namespace: namespace, Name: name}, nil
}

// RefOf returns what ParseRef does, the zero Ref for anything else.
func RefOf(s string) model.Ref {
	ref, _ := ParseRef(s)
	return ref
}
