package http2

import (
	"io"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// keptBuffer is the largest buffer of a body that is kept for the next exchange.
const keptBuffer = 16 << 10

// owner is who a stream belongs to.
type owner interface {
	// fields gets a further field section: the head of a response, or trailers. It is in the connection's block.
	fields(end bool) error
}

// stream is one exchange on a connection: what both sides of it have in common.
type stream struct {
	c     *conn
	id    uint32
	owner owner

	sendWindow, recvWindow, credit int

	in, given            []byte // what was received, and what was handed out last
	recvEnded, sendEnded bool
	err                  error // why the exchange has failed
	declared             int64 // length of the body that is received as Content-Length says; -1: it does not
	received             int64
	readWait, sendWait   time.Duration // the longest silence, the longest time without room; 0: as long as it takes
	active               time.Time     // when data was sent last: who sends is patient
	interrupted          bool
	trailer              message.Header
	reader, writer       waiter
	gone                 func() // called when the exchange fails; nil: nothing is
	last                 frameRef
}

// open makes a stream part of its connection.
func (s *stream) open(c *conn, id uint32, o owner) {
	*s = stream{
		c: c, id: id, owner: o, sendWindow: c.peerWindow, recvWindow: c.limits.StreamWindow, declared: -1,
		in: kept(s.in), given: kept(s.given), trailer: s.trailer[:0], last: frameRef{at: -1},
		readWait: c.limits.Read, sendWait: c.limits.Send,
	}
	c.streams[id] = s
}

func kept(b []byte) []byte {
	if cap(b) > keptBuffer {
		return nil
	}
	return b[:0]
}

// fail ends the exchange with an error, for those who wait and those who come. What the peer has sent whole can still be read (RFC
// 9113 8.1), else the part of it is given back to the connection.
func (s *stream) fail(err error) {
	if s.err == nil && (!s.recvEnded || !s.sendEnded) {
		s.err = err
		if s.gone != nil {
			s.gone()
		}
		if !s.recvEnded {
			s.c.consumed(len(s.in))
			s.in = s.in[:0]
		}
	}
	s.reader.wake()
	s.writer.wake()
}

// receive takes a piece of the body.
func (s *stream) receive(p []byte, end bool) error {
	s.received += int64(len(p))
	if s.declared >= 0 && (s.received > s.declared || end && s.received < s.declared) {
		return streamError{s.id, codeProtocol, "a body of another length than Content-Length says"}
	}
	s.in = append(s.in, p...)
	if end {
		s.endReceived()
	}
	s.reader.wake()
	return nil
}

// endReceived notes that the peer has sent all.
func (s *stream) endReceived() {
	s.recvEnded = true
	s.reader.wake()
	s.retire()
}

// retire forgets the stream once both sides have sent all.
func (s *stream) retire() {
	if s.recvEnded && s.sendEnded {
		s.c.resets.add(requestCredit)
		s.c.overheads.add(requestCredit)
		s.c.drop(s, nil)
	}
}

// read returns a piece of the body, valid until the next call, and io.EOF after the last.
func (s *stream) read() ([]byte, error) {
	begun := s.c.loop.Now()
	for len(s.in) == 0 {
		switch {
		case s.interrupted:
			return nil, ErrAborted
		case s.recvEnded:
			return nil, io.EOF
		case s.err != nil:
			return nil, s.err
		}
		if err := s.await(begun); err != nil {
			return nil, err
		}
	}
	p := s.in
	s.in, s.given = s.given[:0], p
	s.c.consumed(len(p))
	s.consumed(len(p))
	return p, nil
}

// await waits for the peer, once: until anything happens, or nothing has come, and nothing could be sent, for too long since a
// time. Then the exchange ends.
func (s *stream) await(begun time.Time) error {
	if s.active.After(begun) {
		begun = s.active
	}
	var until time.Time
	if s.readWait > 0 {
		until = begun.Add(s.readWait)
	}
	if s.reader.wait(s.c.loop, until) || s.active.After(begun) || len(s.in) > 0 || s.recvEnded || s.err != nil {
		return nil
	}
	s.abort(codeCancel, ErrTimeout)
	return ErrTimeout
}

// until returns when a wait of that length ends.
func (s *stream) until(wait time.Duration) time.Time {
	if wait == 0 {
		return time.Time{}
	}
	return s.c.loop.Now().Add(wait)
}

// write sends a piece of the body, as the windows and the connection have room.
func (s *stream) write(p []byte) error {
	for len(p) > 0 {
		n, err := s.admit(len(p))
		if err != nil {
			return err
		}
		s.last = s.c.begin(frameHeader{length: n, typ: frameData, streamID: s.id})
		s.c.out = append(s.c.out, p[:n]...)
		s.sendWindow -= n
		s.c.sendWindow -= n
		s.active = s.c.loop.Now()
		if n >= usefulFrame || n == len(p) {
			s.c.overheads.add(dataCredit)
		}
		s.c.writer.wake()
		p = p[n:]
	}
	return nil
}

// admit waits until data can be sent, and returns how much.
func (s *stream) admit(want int) (int, error) {
	var until time.Time
	for {
		if err := s.sendable(); err != nil {
			return 0, err
		}
		n := min(want, maxFrameSize, s.sendWindow, s.c.sendWindow)
		if n > 0 && len(s.c.out) < highWater {
			return n, nil
		}
		if until.IsZero() {
			until = s.until(s.sendWait)
		}
		if s.sendWindow > 0 {
			s.c.stalled = append(s.c.stalled, s)
		}
		if !s.writer.wait(s.c.loop, until) {
			s.abort(codeCancel, ErrTimeout)
			return 0, ErrTimeout
		}
	}
}

// sendable says why nothing more can be sent.
func (s *stream) sendable() error {
	switch {
	case s.err != nil:
		return s.err
	case s.sendEnded:
		return ErrAborted
	}
	return nil
}

// end sends the end of the stream: in the last frame, if that is still here.
func (s *stream) end(trailer message.Header) error {
	if err := s.sendable(); err != nil {
		return err
	}
	switch {
	case len(trailer) > 0:
		s.c.scratch = appendTrailer(s.c.fieldsBegin(), trailer)
		s.c.sendBlock(s.id, s.c.scratch, true)
	case !s.c.endLast(s.last):
		s.c.begin(frameHeader{typ: frameData, flags: flagEndStream, streamID: s.id})
	}
	s.c.writer.wake()
	s.sendEnded = true
	s.retire()
	return nil
}

// abort ends the exchange at once.
func (s *stream) abort(code Code, err error) {
	if s.c.streams[s.id] != s {
		return
	}
	s.c.out = appendReset(s.c.out, s.id, code)
	s.c.writer.wake()
	s.c.drop(s, err)
	s.c.retired.add(s.id, true)
}
