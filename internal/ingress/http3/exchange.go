package http3

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// pieceSize is what of a body is read at once.
const pieceSize = 32 << 10

var (
	// ErrAborted is what a Stream's methods return after Abort or Interrupt.
	ErrAborted = errors.New("http3: the exchange was aborted")
	// ErrTunnel is what Hijack returns: there are no tunnels over HTTP/3 (RFC 9220).
	ErrTunnel = errors.New("http3: no tunnels")
)

// exchange is one request of a client, and the way its response goes: a message.Stream.
type exchange struct {
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	loop    *loop.Loop
	limits  *Limits

	request message.Request
	first   []byte // of the body, which was read to know whether there is one
	buf     []byte
	readErr error // what follows first

	deaf, aborted, ended bool
	trailer              message.Header
}

// begin makes the request of what quic-go has read. It returns the status that is answered where that is not possible; 0: it is.
func (x *exchange) begin(s *Server) int {
	r := x.r
	target := r.RequestURI
	switch {
	case r.Method == http.MethodConnect && r.Proto != "HTTP/3.0":
		return http.StatusNotImplemented
	case r.Method == http.MethodConnect:
		return http.StatusMethodNotAllowed
	case !message.GoodTarget(target, r.Method):
		return http.StatusBadRequest
	}
	host, ok := message.Hostname([]byte(r.Host), "")
	if !ok {
		return http.StatusBadRequest
	}
	peer := addrOf(r.Context().Value(http.LocalAddrContextKey))
	x.request = message.Request{
		Method: r.Method, Target: []byte(target), Host: host, Authority: []byte(r.Host), Length: r.ContentLength, Major: 3,
		Local: peer, TLS: s.config.Settled(r.TLS),
	}
	if i := strings.IndexByte(target, '?'); i >= 0 {
		x.request.Query = x.request.Target[i+1:]
	}
	x.request.Peer, _ = netip.ParseAddrPort(r.RemoteAddr)
	x.request.Peer = netip.AddrPortFrom(x.request.Peer.Addr().Unmap(), x.request.Peer.Port())
	x.request.Client = x.request.Peer
	for name, values := range r.Header {
		if !connectionField(name) {
			for _, value := range values {
				x.request.Header.AddString(name, value)
			}
		}
	}
	x.settleBody()
	return 0
}

// addrOf returns the address of a net.Addr.
func addrOf(v any) netip.AddrPort {
	if a, ok := v.(*net.UDPAddr); ok {
		return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
	}
	return netip.AddrPort{}
}

// connectionField says whether a field is about the connection, or about framing, and goes no further.
func connectionField(name string) bool {
	switch name {
	case "Content-Length", "Te", "Trailer", "Expect", "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Host":
		return true
	}
	return false
}

// settleBody finds out whether a request of which nothing is said has a body. Only those are waited for that mostly have none.
func (x *exchange) settleBody() {
	switch x.request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete:
	default:
		return
	}
	if x.request.Length >= 0 {
		return
	}
	x.first, x.readErr = x.piece()
	if len(x.first) == 0 && x.readErr != nil {
		x.request.Length = 0
	}
}

// piece reads a piece of the body. It blocks.
func (x *exchange) piece() ([]byte, error) {
	if x.buf == nil {
		x.buf = make([]byte, pieceSize)
	}
	_ = x.control.SetReadDeadline(time.Now().Add(x.limits.Read))
	n, err := x.r.Body.Read(x.buf)
	return x.buf[:n], err
}

// await runs f, which blocks, for the task that runs.
func (x *exchange) await(f func()) { x.loop.Running().Await(f) }

// Request returns the head.
func (x *exchange) Request() *message.Request { return &x.request }

// Read returns a piece of the body.
func (x *exchange) Read() ([]byte, error) {
	if x.deaf || x.aborted {
		return nil, ErrAborted
	}
	if len(x.first) > 0 {
		p := x.first
		x.first = nil
		return p, nil
	}
	for x.readErr == nil {
		var p []byte
		x.await(func() { p, x.readErr = x.piece() })
		if len(p) > 0 {
			return p, nil
		}
	}
	if x.deaf {
		return nil, ErrAborted
	}
	return nil, x.readErr
}

// Interrupt ends a Read that waits, and all that follow.
func (x *exchange) Interrupt() {
	x.deaf = true
	_ = x.r.Body.Close()
}

// Trailer returns the fields after the body.
func (x *exchange) Trailer() message.Header {
	if x.trailer == nil {
		for name, values := range x.r.Trailer {
			for _, value := range values {
				x.trailer.AddString(name, value)
			}
		}
	}
	return x.trailer
}

// setHeader makes the header that is sent next that of r.
func (x *exchange) setHeader(r *message.Response) {
	h := x.w.Header()
	clear(h)
	for _, f := range r.Header {
		name := http.CanonicalHeaderKey(string(f.Name))
		if !connectionField(name) {
			h[name] = append(h[name], string(f.Value))
		}
	}
}

// Inform sends an interim response.
func (x *exchange) Inform(r *message.Response) error {
	if x.aborted {
		return ErrAborted
	}
	x.setHeader(r)
	x.await(func() { x.w.WriteHeader(r.Status) })
	return nil
}

// Respond sends the head of the response.
func (x *exchange) Respond(r *message.Response, end bool) error {
	if x.aborted {
		return ErrAborted
	}
	x.setHeader(r)
	h := x.w.Header()
	if r.Length >= 0 && r.Status != 204 && r.Status != 304 {
		h["Content-Length"] = []string{strconv.FormatInt(r.Length, 10)}
	}
	for _, name := range []string{"Content-Type", "Date"} { // quic-go fills these in, unless they are there
		if _, ok := h[name]; !ok {
			h[name] = nil
		}
	}
	x.w.WriteHeader(r.Status)
	x.ended = end
	return nil
}

// Write sends a piece of the body.
func (x *exchange) Write(p []byte) error {
	if x.aborted {
		return ErrAborted
	}
	var err error
	x.await(func() {
		_ = x.control.SetWriteDeadline(time.Now().Add(x.limits.Send))
		_, err = x.w.Write(p)
	})
	return err
}

// Flush has what was written sent.
func (x *exchange) Flush() error {
	if x.aborted {
		return ErrAborted
	}
	var err error
	x.await(func() {
		_ = x.control.SetWriteDeadline(time.Now().Add(x.limits.Send))
		err = x.control.Flush()
	})
	return err
}

// End ends the response, as soon as Serve has returned.
func (x *exchange) End(trailer message.Header) error {
	if x.aborted {
		return ErrAborted
	}
	for _, f := range trailer {
		x.w.Header().Add(http.TrailerPrefix+string(f.Name), string(f.Value))
	}
	x.ended = true
	return nil
}

// Abort ends the exchange by a reset, as soon as Serve has returned.
func (x *exchange) Abort() {
	x.aborted = true
	x.Interrupt()
	_ = x.control.SetWriteDeadline(time.Now())
}

// Hijack is refused.
func (x *exchange) Hijack() error { return ErrTunnel }
