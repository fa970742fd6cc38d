package http2

import (
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

const (
	// highWater is from how many collected bytes on streams wait before they add data.
	highWater = 64 << 10
	// spareBuffer is the largest buffer that is kept for the next round.
	spareBuffer = 128 << 10
)

// write is the writer's task: it writes what was collected, all of it at once, until the connection ends.
func (c *conn) write(*loop.Task) {
	defer func() {
		c.written = true
		c.over.wake()
	}()
	for {
		for len(c.out) == 0 {
			if c.closing {
				return
			}
			c.writer.wait(c.loop, time.Time{})
		}
		if err := c.send(); err != nil {
			c.out = nil
			c.fail(err)
			c.hurry()
			return
		}
	}
}

func (c *conn) send() error {
	c.out, c.flight = c.flight[:0], c.out
	c.epoch++
	_, err := c.nc.Write(c.flight)
	if err == nil {
		err = c.raw.Flush()
	}
	if cap(c.flight) > spareBuffer {
		c.flight = nil
	}
	c.unstall()
	return err
}

// unstall has all look again that wait for the connection.
func (c *conn) unstall() {
	c.over.wake()
	for i, s := range c.stalled {
		s.writer.wake()
		c.stalled[i] = nil
	}
	c.stalled = c.stalled[:0]
}

// frameRef is where in out the last frame of a stream is, to set END_STREAM in it.
type frameRef struct {
	epoch uint32
	at    int
}

// begin appends the header of a frame whose payload the caller appends.
func (c *conn) begin(h frameHeader) frameRef {
	ref := frameRef{c.epoch, len(c.out)}
	c.out = appendFrameHeader(c.out, h)
	return ref
}

// endLast sets END_STREAM in a frame that is still to be written.
func (c *conn) endLast(ref frameRef) bool {
	if ref.epoch != c.epoch || ref.at < 0 {
		return false
	}
	c.out[ref.at+4] |= flagEndStream
	return true
}

// sendBlock appends a field section as HEADERS and, where it is long, CONTINUATION.
func (c *conn) sendBlock(id uint32, fields []byte, end bool) frameRef {
	h := frameHeader{typ: frameHeaders, streamID: id}
	if end {
		h.flags = flagEndStream
	}
	first := frameRef{c.epoch, len(c.out)}
	for {
		h.length = min(len(fields), maxFrameSize)
		if h.length == len(fields) {
			h.flags |= flagEndHeaders
		}
		c.out = appendFrameHeader(c.out, h)
		c.out = append(c.out, fields[:h.length]...)
		fields = fields[h.length:]
		if len(fields) == 0 {
			break
		}
		h.typ, h.flags = frameContinuation, 0
	}
	c.writer.wake()
	return first
}
