package http2

import (
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// Preface is what a client sends first, at the beginning of a connection (RFC 9113 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// freeExchanges bounds those that a connection keeps for further requests.
const freeExchanges = 32

// drainTime is how long requests are still taken after the first GOAWAY, as they may be on their way.
const drainTime = time.Second

// Server is how connections of clients are served.
type Server struct {
	Limits Limits
	// Serve is called for each request, in a task of its own.
	Serve func(*loop.Task, message.Stream)
}

// Peer is who has connected, and how.
type Peer struct {
	// Peer, Client and Local are those of message.Request.
	Peer, Client, Local netip.AddrPort
	TLS                 *message.TLS // nil: in the clear
}

// Conn is the connection of a client.
type Conn struct {
	conn
	server *Server
	peer   Peer
	limits Limits

	idleSince time.Time
	running   int // tasks; a stream that was reset may still have one
	requests  int
	drain     drainState
	free      []*exchange
}

// drainState is how far the end of a connection has come.
type drainState uint8

const (
	serving   drainState = iota
	announced            // GOAWAY is sent, requests are still taken
	draining             // no more requests are taken
)

// NewConn returns the connection of a client that raw carries; nc is raw, or TLS over it, with raw queueing. It is for the task of
// Serve.
func (s *Server) NewConn(t *loop.Task, raw *loop.Conn, nc net.Conn, peer Peer) *Conn {
	c := &Conn{server: s, peer: peer, limits: s.Limits.withDefaults()}
	c.init(t, raw, nc, &c.limits, c)
	c.idleSince = c.loop.Now()
	return c
}

// Serve serves the connection until it ends. It is closed then, and all its requests have failed or are done.
func (c *Conn) Serve() error {
	settings := appendSetting(nil, settingStreams, uint32(c.limits.Streams))
	settings = appendSetting(settings, settingWindow, uint32(c.limits.StreamWindow))
	settings = appendSetting(settings, settingHeaderList, uint32(c.limits.HeaderList))
	settings = appendSetting(settings, settingExtendedConnect, 1)
	c.greet(settings)
	return c.run(c.preface)
}

// preface reads the client's.
func (c *Conn) preface() error {
	_ = c.raw.SetReadDeadline(c.loop.Now().Add(c.limits.Header))
	if _, err := io.ReadFull(c.nc, c.buf[:len(Preface)]); err != nil {
		return err
	}
	if string(c.buf[:len(Preface)]) != Preface {
		return connError{codeProtocol, "not the preface of HTTP/2"}
	}
	return nil
}

// Drain ends the connection once its requests are done: the client is told, and the requests that it has sent meanwhile are served.
func (c *Conn) Drain() {
	if c.drain != serving || c.closing {
		return
	}
	c.drain = announced
	c.out = appendGoAway(c.out, maxWindow, codeNo, "")
	c.writer.wake()
	c.loop.Go(func(t *loop.Task) {
		t.Sleep(drainTime)
		if c.closing {
			return
		}
		c.drain = draining
		c.out = appendGoAway(c.out, c.retired.last, codeNo, "")
		c.writer.wake()
		c.settled()
	})
}

func (c *Conn) settled() {
	c.idleSince = c.loop.Now()
	if c.drain == draining && len(c.streams) == 0 && !c.closing {
		c.stop()
	}
}

func (c *Conn) deadline() time.Time { return c.idleSince.Add(c.limits.Idle) }

func (c *Conn) idle(id uint32) bool { return id%2 == 0 || id > c.retired.last }

func (c *Conn) streamLimit(int) {}

func (c *Conn) goAway(uint32, Code) {}

// headers begins a request.
func (c *Conn) headers(id uint32, end bool) error {
	if id%2 == 0 {
		return connError{codeProtocol, "a request on a stream with an even number"}
	}
	if id <= c.retired.last {
		return c.strayHeaders(id)
	}
	if c.drain == draining {
		return nil // GOAWAY has told that it is not processed
	}
	c.retired.last = id
	if len(c.streams) >= c.limits.Streams || c.running >= 2*c.limits.Streams {
		return streamError{id, codeRefused, "too many at the same time"}
	}
	if c.block.over {
		return c.tooLarge(id, end)
	}
	x := c.exchange()
	if err := x.begin(id, end); err != nil {
		c.free = append(c.free, x)
		return err
	}
	c.running++
	c.requests++
	if c.requests >= c.limits.Requests {
		c.Drain()
	}
	c.loop.Go(x.task)
	return nil
}

// strayHeaders judges a field section on a stream that has ended.
func (c *Conn) strayHeaders(id uint32) error {
	switch known, ours := c.retired.find(id); {
	case ours:
		return nil
	case known:
		return connError{codeStreamClosed, "HEADERS after the end of a stream"}
	}
	return connError{codeProtocol, "a stream with a lower number than the one before"}
}

// tooLarge answers a request whose fields are more than the limit with 431.
func (c *Conn) tooLarge(id uint32, end bool) error {
	if err := c.resetting("a field section of more than its limit"); err != nil {
		return err
	}
	c.scratch = appendLength(appendStatus(c.fieldsBegin(), 431), 0)
	c.sendBlock(id, c.scratch, true)
	if !end {
		c.out = appendReset(c.out, id, codeNo)
	}
	c.retired.add(id, !end)
	return nil
}

// exchange returns one for a new request.
func (c *Conn) exchange() *exchange {
	if n := len(c.free); n > 0 {
		x := c.free[n-1]
		c.free = c.free[:n-1]
		return x
	}
	x := &exchange{conn: c}
	x.task = x.serve
	return x
}

func (c *Conn) rest() { c.free = nil }

func (c *Conn) ended() { c.free = nil }
