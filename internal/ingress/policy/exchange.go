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
	Pools interface{ Pool(*route.Backend) *route.Pool }

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
	arena   arena
	request balance.Request
	peer    netip.Addr // who has connected, or whom PROXY protocol names
}
