package fastcgi

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

const (
	// bufferSize is what is read at once.
	bufferSize = 32 << 10
	// maxMessages is how much of what a backend writes to its error stream is kept.
	maxMessages = 4 << 10
)

// Error is what a backend has done that it may not do.
type Error struct{ Reason string }

func (e Error) Error() string { return "FastCGI: " + e.Reason }

// Call is one request, and its connection. One task may send while another one receives.
type Call struct {
	conn     net.Conn
	out      []byte
	buf      []byte
	r, w     int
	left     int // of the record that is read, in bytes of content
	padding  int // after that
	stdout   bool
	ended    bool // the backend has said so
	response message.Response
	body     []byte // that came with the head
	size     int64  // of the body, as far as it has come
	messages []byte
}

// New returns a call over a connection, which is its own.
func New(conn net.Conn) *Call { return &Call{conn: conn, buf: make([]byte, bufferSize)} }

// Begin sends the parameters of the request.
func (c *Call) Begin(params []Param) error { return c.send(appendBegin(c.out[:0], params)) }

// Write sends a piece of the request's body.
func (c *Call) Write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	return c.send(appendStream(c.out[:0], typeStdin, p))
}

// End ends the request's body.
func (c *Call) End() error { return c.send(appendStream(c.out[:0], typeStdin, nil)) }

func (c *Call) send(b []byte) error {
	c.out = b
	_, err := c.conn.Write(b)
	return err
}

// Close closes the connection.
func (c *Call) Close() { _ = c.conn.Close() }

// Messages returns what the backend has written to its error stream, as far as it is kept.
func (c *Call) Messages() string { return string(c.messages) }

// Response waits for the head of the response, which may have up to limit bytes.
func (c *Call) Response(limit int) (*message.Response, error) {
	var head []byte
	for {
		p, err := c.piece()
		if errors.Is(err, io.EOF) {
			return nil, Error{"a response without a head"}
		}
		if err != nil {
			return nil, err
		}
		head = append(head, p...)
		n, err := parseHead(head, &c.response)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			c.body = head[n:]
			return &c.response, nil
		}
		if len(head) > limit {
			return nil, Error{"a response with a head that is too long"}
		}
	}
}

// Read returns a piece of the response's body, valid until the next call, and io.EOF after the last.
func (c *Call) Read() ([]byte, error) {
	p := c.body
	c.body = nil
	if len(p) == 0 {
		var err error
		if p, err = c.piece(); err != nil {
			if errors.Is(err, io.EOF) && c.response.Length > c.size {
				return nil, Error{"a body that is shorter than its Content-Length"}
			}
			return nil, err
		}
	}
	c.size += int64(len(p))
	if c.response.Length >= 0 && c.size > c.response.Length {
		return nil, Error{"a body that is longer than its Content-Length"}
	}
	return p, nil
}

// Ended says whether Read would return io.EOF at once, as far as is known.
func (c *Call) Ended() bool { return c.ended && len(c.body) == 0 && c.left == 0 }

// Buffered says whether Read returns at once.
func (c *Call) Buffered() bool { return len(c.body) > 0 || c.stdout && c.left > 0 && c.r < c.w }

// piece returns the next bytes of the output stream, and io.EOF after the end of the request.
func (c *Call) piece() ([]byte, error) {
	for {
		if c.left > 0 && c.r < c.w {
			n := min(c.left, c.w-c.r)
			p := c.buf[c.r : c.r+n]
			c.r += n
			c.left -= n
			if c.stdout {
				return p, nil
			}
			c.messages = append(c.messages, p[:min(n, maxMessages-len(c.messages))]...)
			continue
		}
		if c.ended {
			return nil, io.EOF
		}
		if err := c.next(); err != nil {
			return nil, err
		}
	}
}

// next reads until a record has begun, or more of one has come.
func (c *Call) next() error {
	if c.left == 0 {
		n := min(c.padding, c.w-c.r)
		c.r += n
		c.padding -= n
		if c.padding == 0 && c.w-c.r >= recordHeader {
			return c.begin()
		}
	}
	c.w = copy(c.buf, c.buf[c.r:c.w])
	c.r = 0
	n, err := c.conn.Read(c.buf[c.w:])
	c.w += n
	if n > 0 || err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// begin takes the header of a record.
func (c *Call) begin() error {
	r, ok := parseHeader(c.buf[c.r:])
	if !ok || r.id != requestID {
		return Error{"a record of another version, or request"}
	}
	switch r.kind {
	case typeStdout, typeStderr:
		c.r += recordHeader
		c.left, c.padding, c.stdout = r.length, r.padding, r.kind == typeStdout
		return nil
	case typeEnd:
		return c.finish(r)
	}
	return Error{fmt.Sprintf("a record of type %d", r.kind)}
}

// finish takes the record that ends the request (section 5.5).
func (c *Call) finish(r record) error {
	switch {
	case r.length != 8:
		return Error{"an end of a wrong size"}
	case c.w-c.r < recordHeader+r.length:
		return c.more()
	}
	c.ended = true
	if status := c.buf[c.r+recordHeader+4]; status != 0 {
		return Error{fmt.Sprintf("the request was refused with protocol status %d", status)}
	}
	return nil
}

// more reads more of a record that has to be whole.
func (c *Call) more() error {
	c.w = copy(c.buf, c.buf[c.r:c.w])
	c.r = 0
	n, err := c.conn.Read(c.buf[c.w:])
	c.w += n
	if n == 0 && err != nil {
		return io.ErrUnexpectedEOF
	}
	return nil
}
