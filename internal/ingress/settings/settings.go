package settings

import (
	"net/netip"
	"regexp"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Settings are those of one Ingress. They apply to each of its locations, but for what says "of the whole host".
type Settings struct {
	Rewrite    Rewrite
	Redirect   Redirect
	Access     Access
	CORS       *CORS         // nil: off
	BasicAuth  *BasicAuth    // nil: off
	Auth       *ExternalAuth // nil: off
	Limits     Limits
	Proxy      Proxy
	Upstream   Upstream
	BackendTLS BackendTLS
	ClientTLS  *ClientTLS // nil: no client certificates; of the whole host
	Canary     *Canary    // nil: not a canary
	Errors     Errors
	Mirror     *Mirror // nil: off
	Headers    []HeaderEdit
	Snippet    []Statement // of configuration-snippet, in order
	Server     []Statement // of server-snippet, of the whole host
	Aliases    []Alias
	// Ciphers are those of TLS 1.2 that clients of the host may use; nil: the entry's. Of the whole host.
	Ciphers []uint16
	// NoGlobalAuth leaves out the authentication that the ConfigMap asks for on all locations.
	NoGlobalAuth bool
	// Passthrough hands the host's TLS connections to the backend undecrypted (ssl-passthrough).
	Passthrough bool
	// NoAccessLog leaves the requests out of the access log.
	NoAccessLog bool
	// Trace is for engines that have a span made.
	Trace Trace
}

// Rewrite is how the path changes on its way to the backend.
type Rewrite struct {
	// Target replaces the whole path; $1 to $9 are the captures of the location's pattern. "": no rewrite.
	Target string
	// Regex asks for the paths of the whole host to be case-insensitive regular expressions.
	Regex bool
	// ForwardedPrefix is sent as X-Forwarded-Prefix where Target is set.
	ForwardedPrefix string
	// AppRoot is where exactly "/" is redirected to, with 302.
	AppRoot string
}

// Redirect says which requests are sent elsewhere.
type Redirect struct {
	// To is the URL that all requests are sent to with Code (permanent-redirect, temporal-redirect). "": none.
	To   string
	Code int
	// TLS redirects http to https where the host has a certificate; TLSAlways also where it has none. TLSCode is 308 by default.
	TLS, TLSAlways bool
	TLSCode        int
	// KeepSlash leaves the slash at the end of the path in redirects to https.
	KeepSlash bool
	// Relative writes Location without scheme and host.
	Relative bool
	// FromToWWW redirects www.HOST to HOST, or HOST to www.HOST, whichever of them has no rules.
	FromToWWW bool
	// PortInRedirects writes the port into redirects.
	PortInRedirects bool
}

// Access restricts who may ask, by the client's address.
type Access struct {
	Deny  []netip.Prefix
	Allow []netip.Prefix // empty: all
	// SatisfyAny lets those in who pass the address check, or authentication; else both are needed.
	SatisfyAny bool
}

// CORS is the answer to other origins (Fetch standard, https://fetch.spec.whatwg.org).
type CORS struct {
	Origins                         []Origin
	Methods, Headers, ExposeHeaders string
	Credentials                     bool
	MaxAge                          int // seconds
}

// Origin is one that is allowed: scheme, host and port as written, any name with one label
// more than Host where Wildcard is set, as in ingress-nginx; all where Any is.
type Origin struct {
	Any, Wildcard bool
	Scheme, Host  string // Host with its port
}

// BasicAuth is authentication by name and password.
type BasicAuth struct {
	Realm string
	// Digest asks for RFC 7616 instead of RFC 7617.
	Digest bool
	Secret model.Ref
	// Map is true where each key of the Secret is a user (auth-secret-type auth-map); else key "auth" is an htpasswd file.
	Map bool
}

// ExternalAuth asks another server whether a request may pass.
type ExternalAuth struct {
	URL    string // may hold variables
	Method string // "": GET
	// SignIn is where a client that gets 401 is sent to; "": nowhere. RedirectParam names the parameter with the URL it came from.
	SignIn, RedirectParam string
	// ResponseHeaders are taken from the answer into the request.
	ResponseHeaders []string
	// RequestRedirect is sent as X-Auth-Request-Redirect.
	RequestRedirect string
	AlwaysSetCookie bool
	// CacheKey, with variables, is under what an answer is kept; "": not. CacheFor has a time for each status code.
	CacheKey string
	CacheFor map[int]time.Duration
	// SetHeaders are sent to the server besides.
	SetHeaders []HeaderEdit
	// KeepAlive is how many idle connections are kept; KeepAliveRequests and KeepAliveTimeout bound each.
	KeepAlive, KeepAliveRequests int
	KeepAliveTimeout             time.Duration
	Snippet                      []Statement
}

// Limits bound what one client address may do, on this replica.
type Limits struct {
	RPS, RPM int // requests a second, a minute; 0: no limit
	// BurstMultiplier times the rate may be over it.
	BurstMultiplier int
	Connections     int // requests at the same time; 0: no limit
	Allow           []netip.Prefix
	// Rate is how many bytes of a response go out a second, after the first RateAfter; 0: no limit.
	Rate, RateAfter int64
	// Code and ConnCode are the answers; 503 by default.
	Code, ConnCode int
}

// Proxy is how requests are carried.
type Proxy struct {
	// Connect bounds the way to a connection; Read and Send are the longest silence between two operations.
	Connect, Read, Send time.Duration
	MaxBody             int64 // bytes; 0: no limit
	// BufferRequest reads the whole body before the backend is asked; BodyBuffer bytes of it stay in memory, the rest in a file.
	BufferRequest bool
	BodyBuffer    int64
	// BufferResponse takes the response from the backend as fast as it comes, up to Buffers × BufferSize and MaxTempFile on disk.
	BufferResponse bool
	// BufferSize is the largest head of a response, in bytes.
	BufferSize  int64
	Buffers     int
	MaxTempFile int64
	// HTTP10 speaks HTTP/1.0 to the backend.
	HTTP10 bool
	// ConnectionHeader is sent as Connection to the backend; "": as the protocol asks.
	ConnectionHeader string
	Next             NextUpstream
	// RedirectFrom and RedirectTo change Location and Refresh of responses; RedirectFrom "default" is nginx's, "off" and "" are nothing.
	RedirectFrom, RedirectTo string
	RedirectOff              bool
	// CookieDomain and CookiePath change Set-Cookie: pairs of from and to.
	CookieDomain, CookiePath []Replacement
}

// Replacement is text and what it becomes.
type Replacement struct{ From, To string }

// NextUpstream says after which failures another endpoint is tried.
type NextUpstream struct {
	On      NextCondition
	Status  []int
	Tries   int           // 0: no limit
	Timeout time.Duration // 0: no limit
}

// NextCondition is a set of failures.
type NextCondition uint8

// The failures of proxy_next_upstream.
const (
	NextError NextCondition = 1 << iota
	NextTimeout
	NextInvalidHeader
	NextNonIdempotent // also methods that are not idempotent
	NextOff
)

// Protocol is what a backend speaks.
type Protocol uint8

// The protocols of backend-protocol.
const (
	HTTP Protocol = iota
	HTTPS
	AutoHTTP // that of the request
	GRPC
	GRPCS
	FCGI
)

// Upstream is how an endpoint is chosen and addressed.
type Upstream struct {
	Protocol Protocol
	// Service goes to the cluster IP instead of the endpoints (service-upstream).
	Service bool
	VHost   string // sent as Host; "": the client's. May hold variables.
	Balance Balance
	// HashBy is a key with variables for a consistent hash; "": none. Subset bounds the endpoints that one key uses.
	HashBy     string
	HashSubset int
	Affinity   *Affinity
	FastCGI    FastCGI
}

// Balance is how an endpoint is chosen.
type Balance uint8

// The ways to choose.
const (
	LeastRequests Balance = iota
	RoundRobin
	EWMA
)

// Affinity keeps a client at its endpoint by a cookie.
type Affinity struct {
	Cookie          string
	MaxAge, Expires int // seconds; 0: until the browser ends
	Path, Domain    string
	SameSite        string // "", "Strict", "Lax" or "None"
	// ConditionalSameSite leaves SameSite=None out for browsers that refuse it.
	ConditionalSameSite bool
	Secure              *bool // nil: as the request came
	Persistent          bool  // else balanced
	ChangeOnFailure     bool
	// LegacyCanary forgets the choice of a canary (affinity-canary-behavior legacy).
	LegacyCanary bool
}

// FastCGI is for backends of protocol FCGI.
type FastCGI struct {
	Index  string
	Params []HeaderEdit
}

// BackendTLS is for backends of protocol HTTPS and GRPCS.
type BackendTLS struct {
	Secret                 model.Ref // tls.crt, tls.key and ca.crt; zero: none
	Verify                 bool
	Depth                  int
	Name                   string // to verify and to send; "": the Service's host name
	ServerName             bool   // send SNI
	MinVersion, MaxVersion uint16 // of crypto/tls; 0: default
	Ciphers                []uint16
}

// ClientTLS asks clients for certificates.
type ClientTLS struct {
	Secret model.Ref // ca.crt and ca.crl
	Verify ClientVerify
	Depth  int
	// ErrorPage is where clients without a good certificate are sent; "": 400.
	ErrorPage string
	// Pass sends the certificate to the backend as ssl-client-cert.
	Pass bool
	// MatchCN must match the subject's common name; nil: any.
	MatchCN *regexp.Regexp
}

// ClientVerify is how strictly certificates of clients are asked for.
type ClientVerify uint8

// The values of auth-tls-verify-client.
const (
	VerifyOn ClientVerify = iota
	VerifyOptional
	VerifyOptionalNoCA
	VerifyOff
)

// Canary makes an Ingress a variant of another one with the same host and path.
type Canary struct {
	Weight, Total               int
	Header, HeaderValue, Cookie string
	Pattern                     *regexp.Regexp // of the header's value
}

// Errors replaces answers of backends.
type Errors struct {
	Codes   []int      // that are replaced by the default backend's
	Backend *model.Ref // of default-backend; nil: that of the whole entry
	// Off leaves the backend's own answers although codes are set for all.
	Off bool
}

// Mirror sends a copy of each request elsewhere, and drops the answer.
type Mirror struct {
	Target, Host string // with variables
	Body         bool
}

// HeaderEdit sets a header.
type HeaderEdit struct{ Name, Value string }

// Alias is a further name of a host: a name, a wildcard, or a pattern.
type Alias struct {
	Name    string
	Pattern *regexp.Regexp // nil: Name
}

// Statement is one directive of a snippet that is interpreted. Nothing else of a snippet has any effect.
type Statement struct {
	Op     Op
	Name   string // of the header or variable
	Value  string // with variables
	Code   int    // of return
	When   *Condition
	Always bool // add_header … always
}

// Op is a directive of a snippet.
type Op uint8

// The directives that are interpreted.
const (
	AddHeader     Op = iota // to the response
	SetHeader               // of the request to the backend (proxy_set_header)
	SetResponse             // more_set_headers
	ClearResponse           // more_clear_headers
	SetRequest              // more_set_input_headers
	SetMethod               // proxy_method
	SetVariable             // set
	Return                  // return
	HideHeader              // proxy_hide_header
)

// Condition is that of an if: a variable that is not empty or "0", equals, or matches.
type Condition struct {
	Variable string
	Equal    string
	Pattern  *regexp.Regexp
	Negate   bool
	// Test is which of the three it is.
	Test Test
}

// Test is the kind of a Condition.
type Test uint8

// The kinds of conditions.
const (
	TestSet Test = iota
	TestEqual
	TestMatch
)
