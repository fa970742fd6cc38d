package proxyproto

import (
	"io"
	"time"
)

// Conn is a connection at its beginning: a *loop.Conn.
type Conn interface {
	io.Reader
	SetReadDeadline(time.Time) error
	// Unread gives back what was read and is not of the header.
	Unread([]byte)
}

// Read reads the header that a connection begins with, which has to be there at a time, unless that is zero.
func Read(c Conn, until time.Time) (Header, error) {
	if err := c.SetReadDeadline(until); err != nil {
		return Header{}, err
	}
	b := make([]byte, 0, 256)
	for {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, MaxSize), b...)
		}
		n, err := c.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if n == 0 && err != nil {
			return Header{}, err
		}
		h, size, err := Parse(b)
		switch {
		case err != nil:
			return h, err
		case size > 0:
			if size < len(b) {
				c.Unread(b[size:])
			}
			return h, c.SetReadDeadline(time.Time{})
		case len(b) >= MaxSize:
			return h, ErrMalformed
		}
	}
}
