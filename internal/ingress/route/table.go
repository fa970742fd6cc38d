package route

import (
	"crypto/tls"
	"net/netip"
	"regexp"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Host is a server: all that one host name, or a wildcard, has. It is immutable.
type Host struct {
	// Name is in lower case; "*.example.com" for a wildcard, "" for the default host.
	Name string
	// Regex is true where every path is a case-insensitive pattern, the first that matches counting (reference 3.1-3.3).
	Regex bool
	// Locations are in the order of nginx: of patterns the first counts, else an exact one, else the longest prefix.
	Locations []*Location
	// Certificate is that of the host's TLS Secret; nil: the default certificate. HasTLS says that one of its Ingresses asks for TLS.
	Certificate *Certificate
	HasTLS      bool
	ClientTLS   *ClientTLS
	// Passthrough is where TLS connections to the host go undecrypted; nil: nowhere.
	Passthrough *Backend
	Server      []settings.Statement
	// WWW is the host that requests are redirected to (from-to-www-redirect); "": they are served.
	WWW string
	// Ciphers and PreferServerCiphers are those of annotations ssl-ciphers; nil: the entry's.
	Ciphers []uint16
}

// Location is a path of a host and what becomes of its requests. It is immutable.
type Location struct {
	Host    string
	Path    string
	Match   Match
	Pattern *regexp.Regexp // where Match is MatchPattern: anchored at the beginning, case-insensitive
	Ingress model.Ref      // zero: made by the entry itself
	// Backend is nil where the rule has none that could be used: Denied says why.
	Backend *Backend
	Canary  *Canary
	// Settings is never nil.
	Settings *settings.Settings
	// Denied is why every request is answered 503, such as an authentication whose Secret is missing; "": they are served.
	Denied string
	// Secrets that Settings name, resolved.
	Users     *Users           // of Settings.BasicAuth
	BackendCA *BackendIdentity // of Settings.BackendTLS
	// Errors is the backend for replaced answers, if Settings.Errors has one of its own.
	Errors *Backend
	// Number identifies the location among all of a table's life, for state that outlives a table (rate limits, counters):
	// one of the same Ingress, host and path keeps it.
	Number uint64
}

// Match is how a location's path is compared.
type Match uint8

// The ways to compare.
const (
	MatchExact   Match = iota
	MatchPrefix        // by elements: "/foo" matches "/foo" and "/foo/bar"
	MatchPattern       // of a host in regex mode
	MatchSlash         // nginx's own: "/foo", where only "/foo/" is declared, is redirected there with 301
)

// Canary takes a share of a location's requests.
type Canary struct {
	Ingress  model.Ref
	Settings *settings.Settings // only Canary and Upstream count
	Backend  *Backend
}

// Key names a Service's port as an Ingress writes it.
type Key struct {
	Service model.Ref
	Name    string // of the port; "": Number
	Number  uint16
}

// Backend is a Service's port. Which endpoints it has is in the table's Pools, as they change more often than routes.
type Backend struct {
	Key Key
	// ID is equal for equal Key and Service mode, small, and never used for another one: an index of Table.Pool.
	ID uint32
	// Upstream is how endpoints are chosen and spoken to.
	Upstream *settings.Upstream
}

// Pool is the endpoints of a Backend at one moment. It is immutable.
type Pool struct {
	// Endpoints may take new requests: ready ones, of the zone if the hints say so, else those that serve while they terminate.
	Endpoints []Endpoint
	// Name is the host of an ExternalName Service, with Port; "": there are Endpoints.
	Name string
	Port uint16
	// Problem is why there are none; "": there are some.
	Problem string
}

// Endpoint is where requests can be sent.
type Endpoint struct {
	Addr netip.AddrPort
	Pod  string // for logs; may be ""
}

// Certificate is a server certificate with its key. It is immutable.
type Certificate struct {
	Secret model.Ref
	TLS    *tls.Certificate
	// Whether it covers the host is settled when the table is built: Host.HasTLS.
}

// ClientTLS is what clients have to show.
type ClientTLS struct {
	*settings.ClientTLS
	// CA and CRL are in PEM.
	CA, CRL []byte
}

// BackendIdentity is what is shown to backends, and whom they are believed to be by. All are in PEM, and may be empty.
type BackendIdentity struct{ Certificate, Key, CA []byte }

// Users are names and hashed passwords as htpasswd(1) writes them.
type Users map[string]string

// Stream is a TCP or UDP port of the entry that goes to a Service (ingress-nginx's tcp-services and udp-services).
type Stream struct {
	Protocol model.Protocol
	Port     uint16
	Backend  *Backend
	// ProxyIn and ProxyOut say that PROXY protocol is read from clients, sent to endpoints.
	ProxyIn, ProxyOut bool
}

// Problem is what of an object is not honoured. It becomes an Event.
type Problem struct {
	Kind    string // "Ingress", "Secret", "ConfigMap"
	Ref     model.Ref
	Reason  string // CamelCase, for Events and metrics
	Message string // names the field and the way out
	// Denied says that the object is refused as a whole.
	Denied bool
}
