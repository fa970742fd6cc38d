// Package message is one HTTP request and its response, whichever version of the protocol carries them.
//
// Names and values of fields are slices of the buffer that they were read into: they hold until the message ends, and whoever keeps
// one copies it. Nothing here allocates once a message's slices have grown.
package message

import (
	"net/netip"
)

// Field is one header field. Name is as it was received; HTTP/2's are in lower case.
type Field struct{ Name, Value []byte }

// Header is the fields of a message, in order.
type Header []Field

// Request is the head of a request as the entry understands it: framing is checked, hop-by-hop fields are gone.
type Request struct {
	Method string
	// Target is the request-target as received (path and query), the way it goes to the backend unless it is rewritten.
	Target []byte
	// Path is the path of Target, decoded and normalised: what is matched. Query is what follows the question mark, as received.
	Path  string
	Query []byte
	// Host is the authority's name in lower case without port; Authority as received.
	Host      string
	Authority []byte
	Header    Header
	// Length of the body in bytes; -1: unknown, 0: none.
	Length int64
	// ExpectContinue is true where the client waits for 100 Continue.
	ExpectContinue bool
	// Upgrade is the protocol the client wants to change to; "": none. CONNECT of RFC 8441 is also shown as an upgrade.
	Upgrade string
	// Major is the version of HTTP: 1, 2 or 3. Minor is 0 for HTTP/1.0.
	Major, Minor int
	// TLS is nil on plain connections.
	TLS *TLS
	// Peer is who has connected, Client who is behind that according to PROXY protocol or forwarding headers, as far as trusted.
	Peer, Client netip.AddrPort
	// Local is the address that was connected to.
	Local netip.AddrPort
	// ID is that of the request: X-Request-ID if the client sent a good one, else random.
	ID []byte
}

// TLS is what the handshake settled.
type TLS struct {
	ServerName string
	// Certificate is the client's, in DER; nil: none. Verified is nil if it is good, else why not.
	Certificate []byte
	Verified    error
	Version     uint16 // of crypto/tls
}

// Response is the head of a response.
type Response struct {
	Status int
	Header Header
	Length int64 // of the body in bytes; -1: unknown
}

// Stream is the client's side of one exchange. Its methods are called by one task at a time, but for Read, which another task may
// call meanwhile. They wait for the client as long as the protocol's limits say.
type Stream interface {
	Request() *Request
	// Read returns a piece of the body, valid until the next call, and io.EOF after the last. It sends 100 Continue first if
	// the client waits for that.
	Read() ([]byte, error)
	// Interrupt ends a Read that waits in another task, and all that follow, with an error. What else there is of the body, or of a
	// tunnel, is of no interest.
	Interrupt()
	// Trailer returns the fields after the body, once Read has returned io.EOF.
	Trailer() Header
	// Inform sends an interim response (1xx).
	Inform(*Response) error
	// Respond sends the head of the response; end says that no body follows.
	Respond(r *Response, end bool) error
	// Write sends a piece of the body; p is used until it returns. Pieces may be held back until Flush.
	Write(p []byte) error
	Flush() error
	// End ends the response, with trailers if the protocol can carry them.
	End(trailer Header) error
	// Abort ends the exchange at once, in a way that the client sees as a failure.
	Abort()
	// Hijack gives the bytes both ways after a 101 or a 2xx to CONNECT, the head of which is sent by Respond; after it, Read and
	// Write carry the tunnel, and End closes the sending side.
	Hijack() error
}
