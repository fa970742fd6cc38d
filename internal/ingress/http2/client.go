package http2

import (
	"net"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// assumedStreams is how many exchanges are opened where the server does not say how many it allows.
const assumedStreams = 100

// maxStreamID is the last number of a stream: the connection is used up then.
const maxStreamID = 1<<31 - 1

// Client is a connection to a server.
type Client struct {
	conn
	limits      Limits
	peerStreams int
	next        uint32 // the number of the next stream
	gone        bool   // no further exchange is possible
	idleSince   time.Time
	left        func(*Client)
}

// NewClient returns a connection to a server that raw carries; nc is raw, or TLS over it, with raw queueing. It runs in tasks of its
// own until the server ends it, or it was idle for too long; then left is called.
func NewClient(t *loop.Task, raw *loop.Conn, nc net.Conn, limits Limits, left func(*Client)) *Client {
	c := &Client{limits: limits.withDefaults(), peerStreams: assumedStreams, next: 1, left: left}
	c.init(t, raw, nc, &c.limits, c)
	c.idleSince = c.loop.Now()
	c.out = append(c.out, Preface...)
	settings := appendSetting(nil, settingPush, 0)
	settings = appendSetting(settings, settingWindow, uint32(c.limits.StreamWindow))
	settings = appendSetting(settings, settingHeaderList, uint32(c.limits.HeaderList))
	c.greet(settings)
	t.Loop().Go(func(*loop.Task) { _ = c.run(func() error { return nil }) })
	return c
}

// settle waits for the server's SETTINGS, so that no more exchanges are opened than it allows.
func (c *Client) settle(patience time.Duration) error {
	setDefault(&patience, c.limits.Header)
	until := c.loop.Now().Add(patience)
	for !c.greeted && !c.closing {
		if !c.hello.wait(c.loop, until) {
			return ErrTimeout
		}
	}
	if c.closing {
		return c.err
	}
	return nil
}

// Ready says whether Do can open an exchange now.
func (c *Client) Ready() bool {
	return !c.gone && !c.closing && len(c.streams) < c.peerStreams && c.next <= maxStreamID
}

// Open returns how many exchanges are open.
func (c *Client) Open() int { return len(c.streams) }

// Gone says whether the connection takes no exchange any more, now or later.
func (c *Client) Gone() bool { return c.gone || c.closing || c.next > maxStreamID }

// Close ends the connection once its exchanges are done.
func (c *Client) Close() {
	c.gone = true
	c.settled()
}

func (c *Client) settled() {
	c.idleSince = c.loop.Now()
	if c.gone && len(c.streams) == 0 && !c.closing {
		c.out = appendGoAway(c.out, 0, codeNo, "")
		c.stop()
	}
}

func (c *Client) deadline() time.Time { return c.idleSince.Add(c.limits.Idle) }

func (c *Client) idle(id uint32) bool { return id%2 == 0 || id >= c.next }

func (c *Client) streamLimit(n int) { c.peerStreams = n }

func (c *Client) goAway(last uint32, _ Code) {
	c.gone = true
	for id, s := range c.streams {
		if id > last {
			c.drop(s, ResetError{codeRefused})
		}
	}
	c.settled()
}

// headers gets the field section of a stream that is no longer there.
func (c *Client) headers(id uint32, _ bool) error {
	if c.idle(id) {
		return connError{codeProtocol, "HEADERS on an idle stream"}
	}
	return c.overhead("HEADERS of a stream that has ended")
}

func (c *Client) rest() {}

func (c *Client) ended() {
	c.gone = true
	if c.left != nil {
		c.left(c)
	}
}

// Head is that of a request to a server.
type Head struct {
	Method string
	// TLS is whether the scheme is https.
	TLS               bool
	Authority, Target []byte
	Header            message.Header
	// Length of the body in bytes; -1: unknown.
	Length int64
	// Trailers tells the server that they are understood (TE).
	Trailers bool
	// Read and Send are the longest silence of the response, and the longest time without room for the request. 0: no limit.
	Read, Send time.Duration
}

// Do sends the head of a request; end says that no body follows. Ready has to be true.
func (c *Client) Do(h *Head, end bool) *Call {
	k := &Call{client: c}
	k.open(&c.conn, c.next, k)
	k.readWait, k.sendWait = h.Read, h.Send
	c.next += 2
	b := appendRequest(c.fieldsBegin(), h)
	if h.Length >= 0 && (h.Length > 0 || !end) {
		b = appendLength(b, h.Length)
	}
	if h.Trailers {
		b = appendField(b, []byte("te"), []byte("trailers"))
	}
	c.scratch = appendTrailer(b, h.Header)
	k.last = c.sendBlock(k.id, c.scratch, end)
	k.sendEnded = end
	return k
}
