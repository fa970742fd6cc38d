package http1

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// Limits bound what a client may ask of a connection, and what a head may be. Zero fields take the default.
type Limits struct {
	// Head is the size of a head in bytes. Default 32 KiB.
	Head int
	// Line is the size of a request-target in bytes. Default 8 KiB.
	Line int
	// Fields is how many fields a head, or a trailer, may have. Default 256.
	Fields int
	// Requests is after how many a connection is closed. Default 1000.
	Requests int
	// Idle is how long a connection without a request is kept. Default 75 s.
	Idle time.Duration
	// Header bounds the time from the beginning of a head to its end. Default 60 s.
	Header time.Duration
	// Read is the longest silence of a body that is waited for, Send the longest time in which a client takes nothing. Defaults 60 s.
	Read, Send time.Duration
}

// WithDefaults returns the limits with the defaults filled in.
func (l Limits) WithDefaults() Limits {
	setDefault(&l.Head, 32<<10)
	setDefault(&l.Line, 8<<10)
	setDefault(&l.Fields, 256)
	setDefault(&l.Requests, 1000)
	setDefault(&l.Idle, 75*time.Second)
	setDefault(&l.Header, 60*time.Second)
	setDefault(&l.Read, 60*time.Second)
	setDefault(&l.Send, 60*time.Second)
	return l
}

func setDefault[T int | time.Duration](p *T, value T) {
	if *p <= 0 {
		*p = value
	}
}

const (
	// lingering is how long a connection is read from after its last response, so that the client gets to see it.
	lingering = 5 * time.Second
	// drained is how much of a body that nobody wants is read for the sake of the next request, in bytes.
	drained = 64 << 10
)

// ErrPreface says that the client speaks HTTP/2.
var ErrPreface = errors.New("the client speaks HTTP/2")

// preface is the part of HTTP/2's preface that looks like the head of a request.
const preface = "PRI * HTTP/2.0\r\n\r\n"

// Server is how connections of clients are served. It is for one loop.
type Server struct {
	Limits Limits
	// Buffers are the loop's.
	Buffers *Buffers
	// Serve is called for each request, in the connection's task.
	Serve func(*loop.Task, message.Stream)
	// Preface has Serve return ErrPreface where the client begins with the preface of HTTP/2 (RFC 9113 3.4), which can be read from raw
	// then.
	Preface bool
	// Refused is called for a request that cannot be understood, and is answered with err.Status; nil: nothing is.
	Refused func(peer Peer, err Error)
}

// Peer is who has connected, and how.
type Peer struct {
	// Peer, Client and Local are those of message.Request.
	Peer, Client, Local netip.AddrPort
	TLS                 *message.TLS // nil: in the clear
}

// Conn is the connection of a client. It is the message.Stream of one request after the other.
type Conn struct {
	server *Server
	task   *loop.Task
	raw    *loop.Conn
	peer   Peer
	limits Limits

	in   reader
	body body
	out  output

	framing  framing
	request  message.Request
	requests int
	idle     bool // no request is under way
	draining bool
	exchange
}

// NewConn returns the connection of a client that raw carries; nc is raw, or TLS over it, with raw queueing. It is for the task of
// Serve.
func (s *Server) NewConn(t *loop.Task, raw *loop.Conn, nc net.Conn, peer Peer) *Conn {
	c := &Conn{server: s, task: t, raw: raw, peer: peer, limits: s.Limits.WithDefaults()}
	c.in = reader{from: nc, buffers: s.Buffers}
	c.out = output{raw: raw, nc: nc, secure: nc != net.Conn(raw), buffers: s.Buffers}
	return c
}

// Serve serves requests until the connection ends. It is closed then. The error says what the client did wrong; nil: nothing.
func (c *Conn) Serve() error {
	defer c.in.release()
	defer c.out.release()
	c.raw.SetWriteTimeout(c.limits.Send)
	for {
		err := c.next()
		var refused Error
		switch {
		case errors.Is(err, ErrPreface):
			return err
		case errors.As(err, &refused):
			return c.refuse(refused)
		case err != nil || c.in.w == 0:
			c.shut()
			return err
		}
		c.exchange = exchange{}
		c.server.Serve(c.task, c)
		if !c.finish() {
			return nil
		}
	}
}

// next reads the head of the next request. Without an error and without a head, there is none: the client, or we, have had enough.
func (c *Conn) next() error {
	c.in.next()
	if c.in.w == 0 {
		if err := c.wait(); err != nil || c.in.w == 0 {
			return err
		}
	}
	end, seen := 0, 0
	for {
		for c.in.w >= 2 && c.in.buf[0] == '\r' && c.in.buf[1] == '\n' { // an empty line before a request is nothing (RFC 9112 2.2)
			c.in.w, seen = copy(c.in.buf, c.in.buf[2:c.in.w]), 0
		}
		var err error
		if end, err = headEnd(c.in.buf[:c.in.w], seen); err != nil {
			return err
		}
		if end > 0 {
			break
		}
		if seen == 0 {
			_ = c.raw.SetReadDeadline(c.task.Loop().Now().Add(c.limits.Header))
		}
		seen = c.in.w
		if err := c.in.more(c.limits.Head); err != nil {
			return c.broken(err)
		}
	}
	if seen > 0 {
		_ = c.raw.SetReadDeadline(time.Time{})
	}
	return c.understand(end)
}

// broken says how a head that did not become whole ends: silence is answered, an end is not.
func (c *Conn) broken(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return Error{408, "a head that was not sent in time"}
	}
	if errors.Is(err, io.EOF) {
		c.in.w = 0
		return nil
	}
	return err
}

// wait waits for the first bytes of a request, without a buffer.
func (c *Conn) wait() error {
	c.idle = true
	defer func() { c.idle = false }()
	if c.draining {
		return nil
	}
	c.raw.SetReadTimeout(c.limits.Idle)
	if c.requests == 0 {
		c.raw.SetReadTimeout(min(c.limits.Idle, c.limits.Header))
	}
	var err error
	if c.out.secure { // TLS may have bytes of its own, which the socket does not know of
		var first [1]byte
		var n int
		if n, err = c.in.from.Read(first[:]); n == 1 {
			c.in.buf = c.in.buffers.take(small)
			c.in.buf[0], c.in.w = first[0], 1
		}
	} else if err = c.raw.WaitReadable(); err == nil {
		err = c.in.more(c.limits.Head)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // it has gone, or has had its time
	}
	return err
}

// understand parses the head, which is end bytes long.
func (c *Conn) understand(end int) error {
	r := &c.request
	if c.server.Preface && c.requests == 0 && string(c.in.buf[:end]) == preface {
		c.raw.Unread(bytes.Clone(c.in.buf[:c.in.w]))
		c.in.w = 0
		return ErrPreface
	}
	if end > c.limits.Head {
		return Error{431, "a head that is too long"}
	}
	if err := parseRequest(c.in.buf[:end:end], r, &c.framing, &c.limits); err != nil {
		return err
	}
	c.in.r, c.in.pinned = end, true
	c.requests++
	r.TLS, r.Peer, r.Client, r.Local = c.peer.TLS, c.peer.Peer, c.peer.Client, c.peer.Local
	k := none
	if r.Length > 0 {
		k = sized
	} else if r.Length < 0 {
		k = chunked
	}
	c.body.begin(k, r.Length, c.limits.Fields)
	c.raw.SetReadTimeout(c.limits.Read)
	return nil
}

// Drain ends the connection once its request is done.
func (c *Conn) Drain() {
	c.draining = true
	if c.idle {
		_ = c.raw.SetReadDeadline(c.task.Loop().Now())
	}
}

func (c *Conn) shut() {
	_ = c.out.nc.Close()
	_ = c.raw.Close()
}

// refuse answers what is no request, and closes.
func (c *Conn) refuse(e Error) error {
	if c.server.Refused != nil {
		c.server.Refused(c.peer, e)
	}
	c.request.Minor, c.request.Method = 1, "GET"
	c.exchange = exchange{close: true}
	page := Page(e.Status)
	h := message.Header{{Name: []byte("Content-Type"), Value: []byte("text/html")}}
	if c.Respond(&message.Response{Status: e.Status, Header: h, Length: int64(len(page))}, false) == nil && c.Write(page) == nil {
		_ = c.End(nil)
	}
	c.linger()
	return e
}

// linger closes so that the client gets the response although it may still send: a reset would take it away (RFC 9112 9.6).
func (c *Conn) linger() {
	defer c.shut()
	if c.out.flush() != nil || c.closeWrite() != nil {
		return
	}
	_ = c.raw.SetReadDeadline(c.task.Loop().Now().Add(lingering))
	c.in.release()
	buf := c.in.buffers.take(small)
	defer c.in.buffers.give(buf)
	for {
		if _, err := c.raw.Read(buf); err != nil {
			return
		}
	}
}

// closeWrite ends what we send.
func (c *Conn) closeWrite() error { return closeWrite(&c.out) }

func closeWrite(o *output) error {
	if t, ok := o.nc.(interface{ CloseWrite() error }); ok && o.secure {
		if err := t.CloseWrite(); err != nil {
			return err
		}
		if err := o.raw.Flush(); err != nil {
			return err
		}
	}
	return o.raw.CloseWrite()
}
