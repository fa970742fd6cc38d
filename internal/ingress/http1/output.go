package http1

import (
	"net"
	"strconv"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// output writes to one connection, small pieces together.
type output struct {
	raw     *loop.Conn
	nc      net.Conn // raw, or TLS over it
	secure  bool
	buffers *Buffers
	buf     []byte // nil: none
}

func (o *output) take() {
	if o.buf == nil {
		o.buf = o.buffers.take(small)[:0]
	}
}

// write sends a piece, or holds it back if it is small.
func (o *output) write(p []byte) error {
	o.take()
	if len(o.buf)+len(p) <= cap(o.buf) {
		o.buf = append(o.buf, p...)
		return nil
	}
	held := o.buf
	o.buf = o.buf[:0]
	if !o.secure {
		return o.raw.Write2(held, p)
	}
	if len(held) > 0 {
		if _, err := o.nc.Write(held); err != nil {
			return err
		}
	}
	if _, err := o.nc.Write(p); err != nil {
		return err
	}
	return o.raw.Flush()
}

// flush sends what was held back, and gives the buffer back.
func (o *output) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	_, err := o.nc.Write(o.buf)
	if err == nil && o.secure {
		err = o.raw.Flush()
	}
	o.release()
	return err
}

func (o *output) release() {
	if o.buf != nil {
		o.buffers.give(o.buf)
		o.buf = nil
	}
}

// appendFields writes field lines.
func appendFields(b []byte, h message.Header) []byte {
	for i := range h {
		b = appendField(b, h[i].Name, h[i].Value)
	}
	return b
}

func appendField(b, name, value []byte) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// appendChunk writes the line before a chunk of n bytes.
func appendChunk(b []byte, n int) []byte {
	b = strconv.AppendInt(b, int64(n), 16)
	return append(b, "\r\n"...)
}

// writeChunk sends a piece of a chunked body.
func (o *output) writeChunk(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	o.take()
	if len(o.buf)+len(p)+32 <= cap(o.buf) {
		o.buf = append(append(appendChunk(o.buf, len(p)), p...), "\r\n"...)
		return nil
	}
	if len(o.buf)+32 > cap(o.buf) {
		if err := o.flush(); err != nil {
			return err
		}
		o.take()
	}
	o.buf = appendChunk(o.buf, len(p))
	if err := o.write(p); err != nil {
		return err
	}
	return o.write([]byte("\r\n"))
}

// endChunks sends the last chunk, and the trailer.
func (o *output) endChunks(trailer message.Header) error {
	o.take()
	if len(trailer) == 0 {
		return o.write([]byte("0\r\n\r\n"))
	}
	return o.write(append(appendFields([]byte("0\r\n"), trailer), "\r\n"...))
}
