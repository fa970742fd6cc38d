package http2

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

const (
	// smallBuffer is what a connection reads into at first, largeBuffer once a frame, or what there is, does not fit.
	smallBuffer, largeBuffer = 4 << 10, 2*maxFrameSize + frameHeaderSize
	// restAfter is after which silence a connection without exchanges gives its buffers up.
	restAfter = 5 * time.Second
	// lingerTime and lingerBytes bound what is read and dropped after GOAWAY, so that a reset does not overtake it.
	lingerTime, lingerBytes = time.Second, 1 << 20
	// maxContinuations is how many CONTINUATION frames a field section may have; each HeaderList/continuationSize of it one more.
	maxContinuations, continuationSize = 8, 1 << 10
)

// side is what differs between server and client.
type side interface {
	// headers gets the field section of a stream that does not exist: a request, or a mistake.
	headers(id uint32, end bool) error
	// idle says whether the peer may not use the stream yet.
	idle(id uint32) bool
	// deadline is until when the next bytes are waited for where no frame is incomplete, and no exchange open.
	deadline() time.Time
	// streamLimit is called with how many streams the peer allows.
	streamLimit(n int)
	// settled is called when the last exchange is over.
	settled()
	// rest is called where the connection is idle, to give up what is kept for further exchanges.
	rest()
	// goAway is called for GOAWAY of the peer, which has processed the streams up to last.
	goAway(last uint32, code Code)
	// ended is called when the connection has ended, and all its streams.
	ended()
}

// conn is what both sides of a connection have in common. All its methods are called on its loop.
type conn struct {
	loop   *loop.Loop
	raw    *loop.Conn
	nc     net.Conn // raw, or TLS over it
	limits *Limits
	side   side

	// Reading.
	buf     []byte // its part from r to w is not parsed yet
	r, w    int
	heard   time.Time // when something was read last
	partial time.Time // since when a frame or field section is incomplete; zero: none is
	pinged  time.Time // when we asked whether the peer is there; zero: it has shown itself since
	decoder *hpack.Decoder
	block   block

	streams map[uint32]*stream
	retired retired
	greeted bool   // the peer's first SETTINGS have come
	hello   waiter // for them

	// Flow control.
	sendWindow   int
	peerWindow   int // of the peer's streams at their beginning
	recvWindow   int // what the peer may still send
	credit       int // what was passed on, and is not given back yet
	stalled      []*stream
	tableChanged bool // the peer wants less than HPACK's initial table

	// Writing.
	out, flight []byte // what is collected, and what is being written
	epoch       uint32 // of out
	writer      waiter
	closing     bool  // the writer ends when all is written
	err         error // why the connection has ended
	over        waiter
	written     bool // the writer has ended

	resets, overheads budget
	scratch           []byte
}

func (c *conn) init(t *loop.Task, raw *loop.Conn, nc net.Conn, limits *Limits, s side) {
	c.loop, c.raw, c.nc, c.limits, c.side = t.Loop(), raw, nc, limits, s
	c.buf = make([]byte, smallBuffer)
	c.decoder = hpack.NewDecoder(4096, c.block.emit)
	c.streams = make(map[uint32]*stream)
	c.sendWindow, c.peerWindow, c.recvWindow = initialWindow, initialWindow, initialWindow
	now := c.loop.Elapsed()
	c.resets, c.overheads = newBudget(resetLimit, resetRate, now), newBudget(overheadLimit, overheadRate, now)
	c.heard = c.loop.Now()
	raw.SetWriteTimeout(limits.Send)
	c.loop.Go(c.write)
}

// run reads frames, after what precedes them, until the connection ends, which is nil if it was in good order.
func (c *conn) run(preface func() error) error {
	whole := false
	defer func() {
		if !whole { // a panic: no one else would end the streams
			c.fail(ErrClosed)
			_ = c.raw.Close()
		}
	}()
	err := preface()
	if err == nil {
		err = c.read()
	}
	var failure connError
	if errors.As(err, &failure) {
		c.out = appendGoAway(c.out, c.retired.last, failure.code, failure.reason)
	}
	c.fail(err)
	c.finish(failure.reason != "")
	whole = true
	c.side.ended()
	if errors.Is(err, io.EOF) || errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// fail ends all streams, and has the writer end after what was collected.
func (c *conn) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	if c.err == nil {
		c.err = ErrClosed
	}
	for _, s := range c.streams {
		s.fail(ErrClosed)
	}
	c.closing = true
	c.writer.wake()
	c.hello.wake()
}

// finish waits until all is written, and closes. Where the peer is told a reason, what it still sends is read for a moment: closing
// a socket with unread bytes would throw that away.
func (c *conn) finish(linger bool) {
	for !c.written {
		c.over.wait(c.loop, time.Time{})
	}
	if linger {
		_ = c.nc.(interface{ CloseWrite() error }).CloseWrite()
		_ = c.raw.Flush()
		_ = c.raw.SetReadDeadline(c.loop.Now().Add(lingerTime))
		for n := 0; n < lingerBytes; {
			read, err := c.raw.Read(c.buf)
			n += read
			if err != nil {
				break
			}
		}
	}
	_ = c.nc.Close()
}

// read handles frames until there are no more.
func (c *conn) read() error {
	for {
		if err := c.frames(); err != nil {
			return err
		}
		if c.closing {
			return c.err
		}
		for len(c.out) > maxPending && !c.closing {
			c.over.wait(c.loop, time.Time{})
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// frames handles all frames that are in the buffer.
func (c *conn) frames() error {
	for c.w-c.r >= frameHeaderSize {
		h := parseFrameHeader(c.buf[c.r:])
		if h.length > maxFrameSize {
			return connError{codeFrameSize, "a frame of more than 16384 bytes"}
		}
		end := c.r + frameHeaderSize + h.length
		if end > c.w {
			c.room(end - c.r)
			break
		}
		payload := c.buf[c.r+frameHeaderSize : end]
		c.r = end
		if err := c.handle(h, payload); err != nil || c.closing {
			return err
		}
		if !c.block.open {
			c.partial = time.Time{}
		}
	}
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	return nil
}

// room makes the buffer large enough for n bytes from r on.
func (c *conn) room(n int) {
	if n > len(c.buf) {
		c.grow()
	}
	if c.r+n > len(c.buf) {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
}

func (c *conn) grow() {
	buf := make([]byte, largeBuffer)
	c.w = copy(buf, c.buf[c.r:c.w])
	c.r, c.buf = 0, buf
}

// fill reads what there is.
func (c *conn) fill() error {
	if c.r > 0 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.buf) {
		c.grow()
	}
	switch {
	case c.w == 0 && !c.block.open:
		c.partial = time.Time{}
	case c.partial.IsZero():
		c.partial = c.loop.Now()
	}
	for {
		until, err := c.patience()
		if err != nil {
			return err
		}
		_ = c.raw.SetReadDeadline(until)
		n, err := c.nc.Read(c.buf[c.w:])
		if n > 0 {
			c.w += n
			c.heard, c.pinged = c.loop.Now(), time.Time{}
			if c.w == len(c.buf) && len(c.buf) < largeBuffer {
				c.grow()
			}
			return nil
		}
		if err != nil && (!errors.Is(err, os.ErrDeadlineExceeded) || c.closing) {
			return err
		}
	}
}

// patience returns until when bytes are waited for, or why no longer.
func (c *conn) patience() (time.Time, error) {
	if c.closing {
		return time.Time{}, c.err
	}
	now := c.loop.Now()
	var until time.Time
	switch {
	case !c.partial.IsZero():
		until = c.partial.Add(c.limits.Header)
	case len(c.streams) == 0:
		until = c.side.deadline()
		if rest := c.heard.Add(restAfter); c.w == 0 && len(c.buf)+cap(c.out)+cap(c.flight) > 2*smallBuffer {
			if now.Before(rest) && rest.Before(until) {
				return rest, nil
			}
			c.rest()
		}
	case c.pinged.IsZero():
		if until = c.heard.Add(c.limits.Ping); now.Before(until) {
			return until, nil
		}
		c.out = appendPing(c.out, 0, [8]byte{'a', 'l', 'i', 'v', 'e'})
		c.writer.wake()
		c.pinged = now
		fallthrough
	default:
		until = c.pinged.Add(min(c.limits.Idle, pingPatience))
	}
	if !now.Before(until) {
		if !c.partial.IsZero() || len(c.streams) > 0 {
			return now, connError{codeNo, "the peer was silent for too long"}
		}
		return now, connError{codeNo, "the connection was idle"}
	}
	return until, nil
}

// rest gives up the buffers of an idle connection.
func (c *conn) rest() {
	c.buf, c.scratch, c.flight = make([]byte, smallBuffer), nil, nil
	if len(c.out) == 0 {
		c.out = nil
	}
	c.side.rest()
}

// hurry has the reader look at its deadline again.
func (c *conn) hurry() { _ = c.raw.SetReadDeadline(c.loop.Now()) }

// stop ends the connection in good order, once all that was collected is written.
func (c *conn) stop() {
	c.fail(ErrClosed)
	c.hurry()
}

// handle handles one frame. What concerns one stream is answered here by RST_STREAM.
func (c *conn) handle(h frameHeader, payload []byte) error {
	err := c.dispatch(h, payload)
	var failure streamError
	if err == nil || !errors.As(err, &failure) {
		return err
	}
	if err := c.resetting(failure.reason); err != nil {
		return err
	}
	c.reset(failure.id, failure.code)
	return nil
}

// reset ends a stream with RST_STREAM.
func (c *conn) reset(id uint32, code Code) {
	c.out = appendReset(c.out, id, code)
	c.writer.wake()
	if s := c.streams[id]; s != nil {
		c.drop(s, ErrAborted)
	}
	if _, ours := c.retired.find(id); !ours {
		c.retired.add(id, true)
	}
}

// drop forgets a stream that has ended, with an error for those who still use it.
func (c *conn) drop(s *stream, err error) {
	if c.streams[s.id] != s {
		return
	}
	delete(c.streams, s.id)
	c.retired.add(s.id, false)
	s.fail(err)
	if len(c.streams) == 0 {
		c.side.settled()
	}
}

func (c *conn) dispatch(h frameHeader, payload []byte) error {
	if c.block.open && (h.typ != frameContinuation || h.streamID != c.block.id) {
		return connError{codeProtocol, "a field section is interrupted by another frame"}
	}
	if !c.greeted && (h.typ != frameSettings || h.has(flagAck)) {
		return connError{codeProtocol, "the first frame is not SETTINGS"}
	}
	switch h.typ {
	case frameData:
		return c.data(h, payload)
	case frameHeaders:
		return c.headers(h, payload)
	case frameContinuation:
		return c.continuation(h, payload)
	case framePriority:
		return c.priority(h, payload)
	case frameReset:
		return c.resetByPeer(h, payload)
	case frameSettings:
		return c.settings(h, payload)
	case framePushPromise:
		return connError{codeProtocol, "a push, which no one has allowed"}
	case framePing:
		return c.ping(h, payload)
	case frameGoAway:
		return c.goAway(h, payload)
	case frameWindowUpdate:
		return c.windowUpdate(h, payload)
	}
	return c.overhead("a frame of unknown type")
}

// retired are the streams that have ended a short while ago: frames on them are no surprise.
type retired struct {
	last uint32 // the highest that the peer has opened
	ring [64]struct {
		id   uint32
		ours bool // we have reset it: the peer may not know yet
	}
	next int
}

func (r *retired) add(id uint32, ours bool) {
	r.ring[r.next].id, r.ring[r.next].ours = id, ours
	r.next = (r.next + 1) % len(r.ring)
}

// find returns whether the stream has ended a short while ago, and whether that was by our RST_STREAM.
func (r *retired) find(id uint32) (known, ours bool) {
	for i := range r.ring {
		if r.ring[i].id == id {
			known, ours = true, ours || r.ring[i].ours
		}
	}
	return known, ours
}
