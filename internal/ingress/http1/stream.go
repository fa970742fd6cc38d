package http1

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// ErrAborted is what a Stream's methods return after Abort.
var ErrAborted = errors.New("the exchange was aborted")

// exchange is what a connection knows of the request that it serves.
type exchange struct {
	responded bool // the final head was sent
	ended     bool
	aborted   bool
	continued bool // 100 was sent
	close     bool // the connection, after this
	chunked   bool // the response
	bodiless  bool
	tunnel    bool
	deaf      bool  // Interrupt
	left      int64 // of a response of known length
}

// Request returns the head.
func (c *Conn) Request() *message.Request { return &c.request }

// Read returns a piece of the body.
func (c *Conn) Read() ([]byte, error) {
	if c.aborted || c.deaf {
		return nil, ErrAborted
	}
	if c.tunnel {
		return c.readTunnel()
	}
	if c.request.ExpectContinue && !c.continued && !c.responded && len(c.in.rest()) == 0 {
		c.continued = true
		if err := c.Inform(&message.Response{Status: 100}); err != nil {
			return nil, err
		}
	}
	p, err := c.body.read(&c.in)
	if err != nil && !errors.Is(err, io.EOF) {
		c.close = true
	}
	return p, err
}

// readTunnel returns what comes in a tunnel.
func (c *Conn) readTunnel() ([]byte, error) {
	if rest := c.in.rest(); len(rest) > 0 {
		c.in.r = c.in.w
		return rest, nil
	}
	if err := c.in.body(-1); err != nil {
		return nil, err
	}
	rest := c.in.rest()
	c.in.r = c.in.w
	return rest, nil
}

// Interrupt ends a Read that waits in another task, and with the exchange the connection.
func (c *Conn) Interrupt() {
	c.deaf, c.close = true, true
	_ = c.raw.SetReadDeadline(c.task.Loop().Now())
}

// Watch has gone called when the client leaves, which is not in a task; nil ends that. As with nginx, a client that ends what it
// sends while it waits for the response has left.
func (c *Conn) Watch(gone func()) { c.raw.OnHangUp(gone) }

// Trailer returns the fields after the body.
func (c *Conn) Trailer() message.Header { return c.body.trailer }

// Inform sends an interim response. HTTP/1.0 has none.
func (c *Conn) Inform(r *message.Response) error {
	if c.request.Minor == 0 {
		return nil
	}
	c.continued = c.continued || r.Status == 100
	c.out.take()
	c.out.buf = append(appendFields(appendStatus(c.out.buf, r.Status), r.Header), "\r\n"...)
	return c.out.flush()
}

// Respond sends the head of the response.
func (c *Conn) Respond(r *message.Response, end bool) error {
	if c.aborted {
		return ErrAborted
	}
	c.responded = true
	c.frame(r, end)
	c.out.take()
	b := appendFields(appendStatus(c.out.buf, r.Status), r.Header)
	switch {
	case r.Status == 101:
		b = append(b, "Connection: upgrade\r\n"...)
		c.tunnel, c.close = true, true
	case c.close:
		b = append(b, "Connection: close\r\n"...)
	case c.request.Minor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	switch {
	case c.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.Length >= 0 && lengthAllowed(r.Status):
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, r.Length, 10), "\r\n"...)
	}
	c.out.buf = append(b, "\r\n"...)
	if end {
		return c.End(nil)
	}
	return nil
}

// frame settles how the body of the response ends, and whether the connection does.
func (c *Conn) frame(r *message.Response, end bool) {
	f, q := &c.framing, &c.request
	c.bodiless = q.Method == "HEAD" || r.Status == 204 || r.Status == 304
	c.left = r.Length
	if end && !c.bodiless && r.Length < 0 && r.Status >= 200 {
		r.Length = 0
	}
	if !c.bodiless && r.Length < 0 && r.Status >= 200 {
		c.chunked = q.Minor > 0
		c.close = c.close || q.Minor == 0
	}
	c.close = c.close || f.close || c.draining || q.Minor == 0 && !f.keepAlive || c.requests >= c.limits.Requests
	// A client that waits for 100 may send its body now, or not: it cannot be told what comes next.
	c.close = c.close || q.ExpectContinue && !c.continued && !c.body.done
}

// lengthAllowed says whether a response of that status may have Content-Length (RFC 9110 8.6).
func lengthAllowed(status int) bool { return status >= 200 && status != 204 }

// Write sends a piece of the body, or of a tunnel.
func (c *Conn) Write(p []byte) error {
	switch {
	case c.aborted:
		return ErrAborted
	case c.bodiless:
		return nil
	case c.chunked:
		return c.out.writeChunk(p)
	}
	if !c.tunnel && c.left >= 0 {
		if int64(len(p)) > c.left {
			c.close = true
			return errors.New("a body that is longer than its Content-Length")
		}
		c.left -= int64(len(p))
	}
	return c.out.write(p)
}

// Flush sends what was held back.
func (c *Conn) Flush() error {
	if c.aborted {
		return ErrAborted
	}
	return c.out.flush()
}

// End ends the response, or what is sent in a tunnel.
func (c *Conn) End(trailer message.Header) error {
	switch {
	case c.aborted:
		return ErrAborted
	case c.tunnel:
		if err := c.out.flush(); err != nil {
			return err
		}
		return c.closeWrite()
	case c.ended:
		return nil
	case !c.chunked && !c.bodiless && c.left > 0:
		c.Abort()
		return errors.New("a body that is shorter than its Content-Length")
	}
	if c.chunked {
		if err := c.out.endChunks(trailer); err != nil {
			return err
		}
	}
	c.ended = true
	return c.out.flush()
}

// Abort ends the connection with a reset: the client sees that the response is not whole.
func (c *Conn) Abort() {
	if !c.aborted {
		c.aborted, c.close = true, true
		c.out.release()
		c.raw.Reset()
	}
}

// Hijack makes a tunnel of the connection.
func (c *Conn) Hijack() error {
	c.tunnel, c.close = true, true
	c.raw.SetReadTimeout(0)
	return c.out.flush()
}

// finish ends the exchange, and says whether the connection may serve another one.
func (c *Conn) finish() bool {
	switch {
	case c.aborted || c.tunnel:
		c.shut()
		return false
	case !c.ended:
		c.Abort()
		return false
	}
	if !c.close && !c.body.done {
		c.close = !c.skip()
	}
	if c.close {
		if c.body.done && c.raw.Quiet() {
			c.shut()
		} else {
			c.linger()
		}
		return false
	}
	return true
}

// skip reads the rest of a body that nobody wanted, if it is not long.
func (c *Conn) skip() bool {
	for n := 0; n <= drained; {
		p, err := c.body.read(&c.in)
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return false
		}
		n += len(p)
	}
	return false
}

// appendStatus writes the status line.
func appendStatus(b []byte, status int) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	return append(b, "\r\n"...)
}

// Page returns a small HTML page that says what a status means, in the way of nginx.
func Page(status int) []byte {
	title := strconv.Itoa(status) + " " + http.StatusText(status)
	return []byte("<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n</body>\r\n</html>\r\n")
}
