package route

import (
	"crypto/tls"
	"net/netip"
	"regexp"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Table is what an entry serves at one moment. It is immutable, and shares with the table before what did not change: a *Host, a
// *Location and a *Pool stay the same value as long as nothing of them changes.
type Table struct {
	// Default serves requests to no host of the table.
	Default *Host
	// Certificate is shown where a host has none of its own; nil: the engine's own, self-signed one.
	Certificate *Certificate
	// Streams are in the order of protocol and port.
	Streams []Stream
	// Global holds the settings of the entry as a whole, of its ConfigMap.
	Global *settings.Global

	hosts    index // by name
	wild     index // by what follows "*."
	deep     index // of aliases, by what follows "*."
	patterns []alias
	pools    vector[*Pool]
}

// Host returns who serves a name, which is in lower case, without port and without a final dot: the host of that name, else that
// of the wildcard for its first label (one label, as the Ingress API says), else that of an alias by pattern, else Default. It is
// never nil, and does not allocate. Its cost does not depend on the number of hosts.
func (t *Table) Host(name string) *Host {
	if h := t.hosts.get(name); h != nil {
		return h
	}
	if i := strings.IndexByte(name, '.'); i > 0 {
		if h := t.wild.get(name[i+1:]); h != nil {
			return h
		}
	}
	if h := t.deepAlias(name); h != nil {
		return h
	}
	for i := range t.patterns {
		if t.patterns[i].pattern.MatchString(name) {
			return t.patterns[i].host
		}
	}
	return t.Default
}

// deepAlias returns who serves a name by an alias "*.DOMAIN", which stands for names of any number of labels as in nginx.
func (t *Table) deepAlias(name string) *Host {
	if t.deep.len == 0 {
		return nil
	}
	for rest := name; ; {
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			return nil
		}
		rest = rest[i+1:]
		if h := t.deep.get(rest); h != nil {
			return h
		}
	}
}

// Pool returns the endpoints of a backend; it is never nil.
func (t *Table) Pool(b *Backend) *Pool {
	if p := t.pools.get(b.ID); p != nil {
		return p
	}
	return noPool
}

// Has tells whether the table has the backend of an ID.
func (t *Table) Has(id uint32) bool { return t.pools.get(id) != nil }

// alias is a further name of a host that is a pattern.
type alias struct {
	pattern *regexp.Regexp
	host    *Host
}

// Host is a server: all that one host name, or a wildcard, has. It is immutable.
type Host struct {
	// Name is in lower case; "*.example.com" for a wildcard, "" for the default host.
	Name string
	// Regex is true where every path is a case-insensitive pattern, the first that matches counting (reference 3.1-3.3).
	Regex bool
	// Locations are in the order of nginx's configuration: the longest path first. Of patterns the first that matches counts, else
	// an exact one, else the longest prefix: Match finds it. The last is that of "/", which every host has.
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
	// Ciphers is that of annotation ssl-ciphers; nil: the entry's.
	Ciphers []uint16
	// Aliases are further names that it is to serve (server-alias); Table.Aliases returns those that it has.
	Aliases []settings.Alias

	paths    paths     // of Locations, unless Regex
	patterns *patterns // of Locations, where Regex
}

// Match returns the location of a path that CleanPath has returned; nil only for what does not begin with a slash. It does not
// allocate, and its cost grows with the logarithm of the host's locations (and, of patterns, with those that begin like the path).
//
// A location of MatchSlash is a redirect with 301 to its Path with a slash at the end, and the query as it came.
func (h *Host) Match(path string) *Location {
	if h.Regex {
		return h.patterns.find(path)
	}
	return h.paths.find(path)
}

// arrange makes the host's locations ready for Match.
func (h *Host) arrange() {
	if h.Regex {
		h.patterns = newPatterns(h.Locations)
	} else {
		h.paths = newPaths(h.Locations)
	}
}

// Location is a path of a host and what becomes of its requests. It is immutable.
type Location struct {
	Host  string
	Path  string
	Match Match
	// Pattern is set where Match is MatchPattern: "^" and the path, case-insensitive. Its captures are those of Settings.Rewrite.
	Pattern *regexp.Regexp
	Ingress model.Ref // zero: made by the entry itself
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
	// Errors is the backend for replaced answers, and, if Settings.Errors has one of its own, for a Backend without endpoints.
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

var noPool = &Pool{Problem: "the backend is not of this table"}

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
