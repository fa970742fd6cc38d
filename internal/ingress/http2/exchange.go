package http2

import (
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// exchange is one request of a client, and the way its response goes: a message.Stream.
type exchange struct {
	stream
	conn *Conn
	task func(*loop.Task)

	request   message.Request
	arena     []byte // of the request's and the trailer's names and values
	host      string // of the request before
	tunnel    bool   // of RFC 8441
	key       string // of the tunnel, if it is a WebSocket
	continued bool   // 100 was sent, or is of no use
	responded bool
}

// serve is the exchange's task.
func (x *exchange) serve(t *loop.Task) {
	whole := false
	defer func() {
		if !whole { // a panic
			x.close()
		}
	}()
	x.conn.server.Serve(t, x)
	whole = true
	x.close()
	if len(x.conn.free) < freeExchanges && !x.c.closing {
		x.conn.free = append(x.conn.free, x)
	}
}

// close ends what Serve has left open.
func (x *exchange) close() {
	x.conn.running--
	x.c.consumed(len(x.in))
	x.in = x.in[:0]
	switch {
	case x.err != nil:
	case !x.sendEnded:
		x.abort(codeInternal, ErrAborted)
	case !x.recvEnded:
		x.abort(codeNo, ErrAborted) // the response is whole, the rest of the request of no interest (RFC 9113 8.1)
	}
}

// Request returns the head.
func (x *exchange) Request() *message.Request { return &x.request }

// Read returns a piece of the body.
func (x *exchange) Read() ([]byte, error) {
	if !x.continued {
		x.continued = true
		if len(x.in) == 0 && !x.recvEnded && x.err == nil && !x.responded {
			_ = x.Inform(&message.Response{Status: 100})
		}
	}
	return x.read()
}

// Watch has gone called when the exchange fails, which is not in a task of it; nil ends that.
func (x *exchange) Watch(gone func()) { x.gone = gone }

// Trailer returns the fields after the body.
func (x *exchange) Trailer() message.Header { return x.trailer }

// Inform sends an interim response.
func (x *exchange) Inform(r *message.Response) error {
	if err := x.sendable(); err != nil {
		return err
	}
	x.continued = x.continued || r.Status == 100
	x.c.scratch = appendTrailer(appendStatus(x.c.fieldsBegin(), r.Status), r.Header)
	x.c.sendBlock(x.id, x.c.scratch, false)
	return nil
}

// Respond sends the head of the response.
func (x *exchange) Respond(r *message.Response, end bool) error {
	if err := x.sendable(); err != nil {
		return err
	}
	if x.tunnel && r.Status == 101 {
		return x.accept(r)
	}
	x.continued = true
	x.responded = true
	b := appendStatus(x.c.fieldsBegin(), r.Status)
	if r.Length >= 0 && !r.Header.Has("content-length") && bodyAllowed(r.Status) {
		b = appendLength(b, r.Length)
	}
	x.c.scratch = appendTrailer(b, r.Header)
	x.last = x.c.sendBlock(x.id, x.c.scratch, end)
	if end {
		x.sendEnded = true
		x.retire()
	}
	return nil
}

// bodyAllowed says whether a response of that status may have Content-Length (RFC 9110 8.6).
func bodyAllowed(status int) bool { return status >= 200 && status != 204 && status != 304 }

// Write sends a piece of the body.
func (x *exchange) Write(p []byte) error { return x.write(p) }

// Flush has what was written sent: it is, at the end of the loop's round.
func (x *exchange) Flush() error { return x.err }

// End ends the response.
func (x *exchange) End(trailer message.Header) error { return x.end(trailer) }

// Abort ends the exchange by RST_STREAM. After the whole response, that only says that the rest of the request is not wanted.
func (x *exchange) Abort() {
	code := codeInternal
	if x.sendEnded {
		code = codeNo
	}
	x.abort(code, ErrAborted)
}

// Reset ends the exchange by RST_STREAM with a code, as a server behind us has done.
func (x *exchange) Reset(code Code) { x.abort(code, ErrAborted) }

// Interrupt ends a Read that waits, and all that follow, with ErrAborted; the response is not concerned.
func (x *exchange) Interrupt() {
	x.interrupted = true
	x.reader.wake()
}

// Resume takes an Interrupt back, once no Read waits any more.
func (x *exchange) Resume() { x.interrupted = false }

// Hijack makes a tunnel of the exchange.
func (x *exchange) Hijack() error {
	x.readWait = 0
	return x.err
}
