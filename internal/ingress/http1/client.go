package http1

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// Client is a connection to an endpoint. Requests go over it one after the other.
type Client struct {
	raw     *loop.Conn
	in      reader
	body    body
	out     output
	framing framing
	// Response is the head that ReadHead has read.
	Response message.Response
	// Requests is how many were begun. Begun is when the connection was, Since when it became idle, of loop.Loop.Elapsed.
	Requests     int
	Begun, Since time.Duration

	received bool // something of the response
	sent     bool // the request is whole
	keep     bool // the endpoint keeps the connection
	tunnel   bool
}

// NewClient returns the connection that raw carries; nc is raw, or TLS over it, with raw queueing.
func NewClient(raw *loop.Conn, nc net.Conn, buffers *Buffers) *Client {
	return &Client{
		raw: raw, Begun: raw.Loop().Elapsed(),
		in:  reader{from: nc, buffers: buffers},
		out: output{raw: raw, nc: nc, secure: nc != net.Conn(raw), buffers: buffers},
	}
}

// Raw returns the connection below.
func (c *Client) Raw() *loop.Conn { return c.raw }

// Begin starts a request: it returns an empty buffer for its head, which goes to Head.
func (c *Client) Begin() []byte {
	c.received, c.sent, c.keep, c.tunnel = false, false, false, false
	c.Requests++
	c.out.take()
	return c.out.buf[:0]
}

// Head takes the head of the request, empty line included. It is held back until Flush.
func (c *Client) Head(b []byte) { c.out.buf = b }

// Write sends a piece of a body of known length, or of a tunnel.
func (c *Client) Write(p []byte) error { return c.out.write(p) }

// WriteChunk sends a piece of a body of unknown length.
func (c *Client) WriteChunk(p []byte) error { return c.out.writeChunk(p) }

// EndChunks ends a body of unknown length.
func (c *Client) EndChunks(trailer message.Header) error { return c.out.endChunks(trailer) }

// Flush sends what was held back.
func (c *Client) Flush() error { return c.out.flush() }

// Sent notes that the request was sent as a whole.
func (c *Client) Sent() { c.sent = true }

// Received says whether anything of the response has come.
func (c *Client) Received() bool { return c.received }

// ReadHead reads the head of a response to a request of that method into Response; an interim one (1xx) is followed by another. An
// Error says that the endpoint does not speak HTTP/1.1; io.EOF that it has closed before anything came.
func (c *Client) ReadHead(method string, limits *Limits) error {
	c.in.next()
	end, seen := 0, 0
	for {
		var err error
		if end, err = headEnd(c.in.rest(), seen); err != nil {
			return err
		}
		if end > 0 {
			break
		}
		if seen = c.in.w; seen > 0 {
			c.received = true
		}
		if err := c.in.more(limits.Head); err != nil {
			if errors.Is(err, io.EOF) && seen > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	c.received = true
	if end > limits.Head {
		return bad("a head that is too long")
	}
	minor, err := parseResponse(c.in.buf[:end:end], &c.Response, &c.framing, limits)
	if err != nil {
		return err
	}
	c.in.r, c.in.pinned = end, true
	k := bodyOf(method, &c.Response, &c.framing)
	if k == chunked {
		c.Response.Length = -1
	}
	c.body.begin(k, c.Response.Length, limits.Fields)
	c.keep = k != untilClose && !c.framing.close && (minor > 0 || c.framing.keepAlive)
	if c.Response.Status == 101 {
		c.keep = false
		if len(c.framing.protocol) > 0 {
			c.Response.Header.Add([]byte("Upgrade"), c.framing.protocol)
		}
	}
	return nil
}

// Read returns a piece of the response's body, valid until the next call, and io.EOF after the last.
func (c *Client) Read() ([]byte, error) {
	if c.tunnel {
		if len(c.in.rest()) == 0 {
			if err := c.in.body(-1); err != nil {
				return nil, err
			}
		}
		rest := c.in.rest()
		c.in.r = c.in.w
		return rest, nil
	}
	return c.body.read(&c.in)
}

// Ended says whether the body has ended, as far as can be said without reading.
func (c *Client) Ended() bool {
	ended, _ := c.body.ended(&c.in)
	return ended
}

// Buffered says whether Read returns at once.
func (c *Client) Buffered() bool { return len(c.in.rest()) > 0 }

// Trailer returns the fields after the body, once it has ended.
func (c *Client) Trailer() message.Header { return c.body.trailer }

// Tunnel makes the connection one of bytes, after a 101.
func (c *Client) Tunnel() { c.tunnel = true }

// Done ends the exchange and says whether the connection can be used for another one: both messages are whole, nothing came that
// nobody has asked for, and the endpoint keeps it open. Response is of no use any more.
func (c *Client) Done() bool {
	ok := c.keep && c.sent && !c.tunnel && c.body.done && len(c.in.rest()) == 0 && c.raw.Quiet() && len(c.out.buf) == 0
	c.in.release()
	c.out.release()
	return ok
}

// CloseWrite ends what is sent in a tunnel.
func (c *Client) CloseWrite() error {
	if err := c.out.flush(); err != nil {
		return err
	}
	return closeWrite(&c.out)
}

// Close closes the connection.
func (c *Client) Close() {
	c.in.release()
	c.out.release()
	_ = c.out.nc.Close()
	_ = c.raw.Close()
}
