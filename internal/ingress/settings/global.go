package settings

import (
	"net/netip"
	"regexp"
	"strconv"
	"time"
)

// Global holds the settings of the entry as a whole: the keys of ingress-nginx's ConfigMap that do not stand behind an annotation,
// and the Settings that annotations start from.
type Global struct {
	// Defaults are those of an Ingress without annotations.
	Defaults Settings
	Policy   Policy
	HSTS     HSTS
	Client   Client
	Upstream UpstreamPool
	TLS      TLS
	RealIP   RealIP
	Gzip     Gzip
	Log      Log
	Stream   Stream
	Tracing  Tracing
	// NoTLSRedirect and NoAuth are prefixes of paths that are not redirected to https, and not asked for authentication.
	NoTLSRedirect, NoAuth []string
	// Auth is global-auth-url and its family, for locations that do not opt out; nil: off. AuthProblem is why it is asked for but cannot
	// be honoured: those locations answer 503 then.
	Auth        *ExternalAuth
	AuthProblem string
	// AddHeaders are added to every response, SetHeaders to every request to a backend (add-headers, proxy-set-headers).
	AddHeaders, SetHeaders []HeaderEdit
	// HideHeaders are taken out of responses.
	HideHeaders []string
	// Block refuses clients with 403, whatever location they ask for (block-cidrs, block-user-agents, block-referers).
	Block Block
	// Snippet is that of all locations, Server that of all hosts (location-snippet, server-snippet of the ConfigMap).
	Snippet, Server []Statement
	// ServerTokens sends the header Server; NoRequestID makes no X-Request-ID of our own.
	ServerTokens, NoRequestID bool
	// Drain is how long requests may still run once the process ends; 0: as the process was told.
	Drain time.Duration
}

// Policy is what Ingresses may ask for.
type Policy struct {
	// Risk is the highest risk of an annotation that is accepted.
	Risk Risk
	// Snippets accepts the annotations whose name ends in "-snippet".
	Snippets bool
	// CrossNamespace lets an Ingress name Secrets and ConfigMaps of another namespace.
	CrossNamespace bool
	// StrictPaths refuses an Ingress with characters of patterns in paths of type Exact and Prefix.
	StrictPaths bool
	// Words are refused in values of annotations.
	Words []string
	// ResponseHeaders are the names that custom-headers may set.
	ResponseHeaders []string
}

// HSTS is Strict-Transport-Security (RFC 6797), on hosts with TLS.
type HSTS struct {
	On                  bool
	MaxAge              int // seconds
	SubDomains, Preload bool
}

// Value returns the value of the field; "": it is not sent.
func (h *HSTS) Value() string {
	if !h.On {
		return ""
	}
	value := "max-age=" + strconv.Itoa(h.MaxAge)
	if h.SubDomains {
		value += "; includeSubDomains"
	}
	if h.Preload {
		value += "; preload"
	}
	return value
}

// Client bounds what clients may do on a connection.
type Client struct {
	KeepAlive         time.Duration
	KeepAliveRequests int
	HeaderTimeout     time.Duration
	BodyTimeout       time.Duration
	// HeaderBytes bounds the head of a request, Line its first line and each field.
	HeaderBytes, Line int64
	HTTP2             bool
	Streams           int
	Underscores       bool // header names with "_" are kept
}

// UpstreamPool bounds the idle connections to backends.
type UpstreamPool struct {
	Idle     int // connections for each loop
	Requests int // for each connection
	Timeout  time.Duration
	Lifetime time.Duration
}

// TLS is how clients are spoken to; versions and ciphers of crypto/tls.
type TLS struct {
	MinVersion, MaxVersion uint16
	Ciphers                []uint16 // nil: those of crypto/tls
	Tickets                bool
	RejectHandshake        bool // for names that no host has
}

// RealIP says whose word about the client is believed.
type RealIP struct {
	// ForwardedHeaders believes all forwarding headers of Trusted (use-forwarded-headers), RealIP only the client's address in
	// Header (enable-real-ip).
	ForwardedHeaders, RealIP bool
	Header                   string
	// AppendFor appends to X-Forwarded-For instead of replacing it (compute-full-forwarded-for).
	AppendFor     bool
	ProxyProtocol bool
	ProxyTimeout  time.Duration  // for the header of PROXY protocol
	Trusted       []netip.Prefix // empty: everybody
}

// Gzip compresses responses.
type Gzip struct {
	On        bool
	Level     int
	MinLength int64
	Types     []string
}

// Log is the access log.
type Log struct {
	Off            bool
	DefaultBackend bool   // also requests that only the default backend of the entry takes
	Format         string // with variables; "": the default
	JSON           bool   // values are escaped for JSON
	// SkipPaths are paths whose requests are not logged.
	SkipPaths *regexp.Regexp
}

// Block refuses clients.
type Block struct {
	Sources              []netip.Prefix
	UserAgents, Referers []*regexp.Regexp
}

// Risk is how much harm the value of an annotation could do in a configuration file (reference of ingress-nginx).
type Risk uint8

// The risks.
const (
	Low Risk = iota
	Medium
	High
	Critical
)

// Stream is how TCP and UDP services are carried.
type Stream struct {
	Timeout     time.Duration // of silence
	Next        bool          // another endpoint is tried where one cannot be connected to
	NextTimeout time.Duration
	NextTries   int
	Responses   int // datagrams that end a UDP session
}
