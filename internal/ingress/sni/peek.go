package sni

import (
	"io"
	"time"
)

// Conn is a connection at its beginning: a *loop.Conn.
type Conn interface {
	io.Reader
	SetReadDeadline(time.Time) error
	// Unread gives back what was read.
	Unread([]byte)
}

// Peek returns the server name that a client asks for, "" if it names none, and leaves all bytes on the connection. They have to be
// there at a time, unless that is zero.
func Peek(c Conn, until time.Time) (string, error) {
	if err := c.SetReadDeadline(until); err != nil {
		return "", err
	}
	b := make([]byte, 0, 2<<10)
	for need := recordHeader; ; {
		if need > cap(b) {
			b = append(make([]byte, 0, MaxSize), b...)
		}
		n, err := c.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if n == 0 && err != nil {
			return "", err
		}
		if len(b) < need {
			continue
		}
		name, more, err := Parse(b)
		if more > len(b) {
			need = more
			continue
		}
		c.Unread(b)
		if err != nil {
			return "", err
		}
		return name, c.SetReadDeadline(time.Time{})
	}
}
