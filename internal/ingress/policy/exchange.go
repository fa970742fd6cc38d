package policy

import (
	"net/netip"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

// Engine is what policies need of the engine that runs a request. Its methods are called by the request's task only.
type Engine interface {
	// Now is the engine's clock, some milliseconds coarse.
	Now() time.Time
	// Await runs f, which may block, outside of the event loop, and returns when f has.
	Await(f func())
	// Go starts f in a task of its own, which outlives the request.
	Go(f func(Engine))
	// Body reads the request's whole body and keeps it, so that the backend gets it as well. A longer one than limit bytes is an
	// error, and then still goes to the backend.
	Body(limit int64) ([]byte, error)
}

// Exchange is one request on its way through the policies. An engine keeps one for each connection or stream and uses it again
// after End: that is why nothing in it may be kept longer.
type Exchange struct {
	// Set by the engine before Entry.Begin.
	Request  *message.Request
	Engine   Engine
	Host     *route.Host
	Location *route.Location
	// Pools gives the endpoints of a backend: the table.
	Pools interface {
		Pool(*route.Backend) *route.Pool
	}

	// Set by Entry.Begin. Scheme is "http" or "https" as the client has used it, Authority its host with port, Port its port, as far as
	// forwarding headers are trusted. Client is its address; Request.Client is set to it.
	Scheme    string
	Authority []byte
	Port      uint16
	Client    netip.Addr

	// Answer is our own, if Admit returned false.
	Answer Answer

	// Method, Target and HostField are those of the request to the backend, set by Request.
	Method    string
	Target    []byte
	HostField []byte
	// Edits are fields of the request to the backend: one replaces the client's and the engine's own of that name, an empty
	// value removes them.
	Edits Edits
	// Canary is true if the canary's backend was chosen. User is who basic authentication has found.
	Canary bool
	User   string
	// Pacer paces the response, if its Rate is not 0.
	Pacer Pacer

	own state
}

// Answer is a response that no backend has made.
type Answer struct {
	Status int
	Header message.Header
	// Body is sent as it is; nil: the engine's page for Status.
	Body []byte
	// Reason is why, for logs and metrics: one of the constants Reason….
	Reason string
	// Detail is what more there is to say, for logs only; often "".
	Detail string
}

// The reasons of our own answers, as logs and metrics name them.
const (
	ReasonRedirect    = "redirect"
	ReasonPreflight   = "cors-preflight"
	ReasonReturn      = "return"
	ReasonDenied      = "location-denied"
	ReasonAddress     = "address-denied"
	ReasonBlocked     = "blocked"
	ReasonRate        = "rate-limit"
	ReasonConnections = "connection-limit"
	ReasonBasicAuth   = "basic-auth"
	ReasonAuth        = "external-auth"
	ReasonAuthFailed  = "external-auth-failed"
	ReasonSignIn      = "sign-in"
	ReasonCertificate = "client-certificate"
)

// Edits are fields that replace those of the same name. There are few, or none: a search walks over them.
type Edits message.Header

// Has says whether a field of this name is replaced or removed.
func (e Edits) Has(name []byte) bool {
	for i := range e {
		if equalFold(e[i].Name, name) {
			return true
		}
	}
	return false
}

// HasName is Has for a constant.
func (e Edits) HasName(name string) bool {
	for i := range e {
		if message.Equal(e[i].Name, name) {
			return true
		}
	}
	return false
}

// state is what the policies keep of a request between their phases.
type state struct {
	// touched is set where anything but peer, response, believed and full may have to be cleared.
	touched  bool
	arena    arena
	request  balance.Request
	peer     netip.Addr // who has connected, or whom PROXY protocol names
	ours     bool       // Answer is sent, and not a backend's
	fallen   bool       // the request goes to the default-backend
	paged    bool       // an error page is asked for
	response *message.Response
	// variables are those that snippets have set; hits are the statements whose condition was met.
	variables [][]byte
	hits      []int
	// subject and match are those of the last pattern: match has the places of its captures.
	subject []byte
	match   []int
	cert    *clientCert // of this request, once it was asked for
	certs   *certificates
	held    *conns // what a place is held of; nil: nothing
	session session
	// cookies are those of the authentication server, for responses that add_header adds to, or for all.
	cookies       [][]byte
	alwaysCookies bool
	// believed says that forwarding headers of the client are, full that they are appended to.
	believed, full bool
}

// capture returns the nth capture of the last pattern.
func (s *state) capture(n int) []byte {
	if 2*n+1 >= len(s.match) || s.match[2*n] < 0 {
		return nil
	}
	return s.subject[s.match[2*n]:s.match[2*n+1]]
}

// variable returns what a snippet has set.
func (s *state) variable(slot int) []byte {
	if slot >= len(s.variables) {
		return nil
	}
	return s.variables[slot]
}

// now is the engine's clock.
func (x *Exchange) now() time.Time { return x.Engine.Now() }

// connScheme is the scheme of the connection itself, nginx's $scheme.
func (x *Exchange) connScheme() string {
	if x.Request.TLS != nil {
		return "https"
	}
	return "http"
}

// End frees what the request has held, such as its place under a limit of connections. The Exchange can be used again.
func (x *Exchange) End() {
	own := &x.own
	own.request.Reset()
	if !own.touched && x.Answer.Status == 0 {
		x.Request, x.Engine, x.Host, x.Location, x.Pools = nil, nil, nil, nil, nil
		x.Method, x.Authority, x.Target, x.HostField = "", nil, nil, nil
		own.response = nil
		return
	}
	if own.held != nil {
		own.held.leave(x.Client)
	}
	own.arena.reset()
	clear(x.Edits)
	clear(x.Answer.Header)
	clear(own.variables)
	clear(own.cookies)
	*x = Exchange{Edits: x.Edits[:0], Answer: Answer{Header: x.Answer.Header[:0]}, own: state{
		arena: own.arena, request: own.request, variables: own.variables[:0], hits: own.hits[:0], cookies: own.cookies[:0],
	}}
}

// answer ends the request by an answer with the engine's page for status.
func (x *Exchange) answer(status int, reason string) bool {
	x.Answer.Status, x.Answer.Reason, x.own.ours = status, reason, true
	return false
}

// Fail makes an answer of the engine's own page for a status, such as that no endpoint has answered: as those of policies it is ours,
// which Intercept has to know.
func (x *Exchange) Fail(status int) { x.answer(status, "") }

// AppendedPeer returns the address that is appended to the client's X-Forwarded-For, if that is not replaced
// (compute-full-forwarded-for, for peers that are believed).
func (x *Exchange) AppendedPeer() (netip.Addr, bool) {
	return x.own.peer, x.own.believed && x.own.full
}

// edit sets a field of the request to the backend, or removes it where value is empty. Framing and the connection are the engine's.
func (x *Exchange) edit(name, value []byte) {
	if message.Equal(name, "Host") {
		x.HostField = value
		return
	}
	for i := range x.Edits {
		if equalFold(x.Edits[i].Name, name) {
			x.Edits[i].Value = value
			return
		}
	}
	x.Edits = append(x.Edits, message.Field{Name: name, Value: value})
}
