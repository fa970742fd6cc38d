package http1

import (
	"bytes"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// framing is what the fields of a message say about its body and its connection. These fields are not among those of the message:
// they are written anew for each connection.
type framing struct {
	length                 int64 // Content-Length; -1: none
	chunked                bool
	close, keepAlive       bool // of Connection
	upgrade                bool
	nominates              bool   // Connection names other fields
	protocol               []byte // of Upgrade
	connection             [4][]byte
	connections            int
	host                   []byte
	hasHost, expects, coda bool // coda: Transfer-Encoding was there
}

// fields parses field lines, the whole of b, into h and f.
func (f *framing) fields(b []byte, h *message.Header, limit int) error {
	for len(b) > 0 {
		n := span(b, token)
		switch {
		case n == len(b) || b[n] != ':':
			return bad("a field without a name, a name that is no token, or white space before the colon")
		case n == 0:
			return bad("a field without a name, or a folded one")
		case len(*h) >= limit:
			return Error{431, "too many fields"}
		}
		name := b[:n:n]
		b = b[n+1:]
		n = span(b, value)
		if n+1 >= len(b) || b[n] != '\r' || b[n+1] != '\n' {
			return bad("a control character in a field, or a line that does not end with CRLF")
		}
		v := trim(b[:n])
		b = b[n+2:]
		if done, err := f.known(name, v[:len(v):len(v)]); err != nil {
			return err
		} else if !done {
			*h = append(*h, message.Field{Name: name, Value: v[:len(v):len(v)]})
		}
	}
	if f.nominates {
		f.dropNominated(h)
	}
	return nil
}

// known takes a field that is about framing or the connection. It returns false for all others.
func (f *framing) known(name, v []byte) (bool, error) {
	switch len(name) {
	case 2:
		return message.Equal(name, "te"), nil
	case 4:
		return f.takeHost(name, v)
	case 6:
		return f.takeExpect(name, v)
	case 7:
		if message.Equal(name, "upgrade") {
			f.protocol = v
			return true, nil
		}
	case 10:
		if message.Equal(name, "connection") {
			return true, f.takeConnection(v)
		}
		return message.Equal(name, "keep-alive"), nil
	case 14:
		if message.Equal(name, "content-length") {
			return true, f.takeLength(v)
		}
		return message.Equal(name, "http2-settings"), nil
	case 16:
		return message.Equal(name, "proxy-connection"), nil
	case 17:
		if message.Equal(name, "transfer-encoding") {
			return true, f.takeCoding(v)
		}
	}
	return false, nil
}

func (f *framing) takeHost(name, v []byte) (bool, error) {
	if !message.Equal(name, "host") {
		return false, nil
	}
	if f.hasHost {
		return true, bad("Host twice")
	}
	f.host, f.hasHost = v, true
	return true, nil
}

func (f *framing) takeExpect(name, v []byte) (bool, error) {
	if !message.Equal(name, "expect") {
		return false, nil
	}
	if !message.Equal(v, "100-continue") {
		return true, Error{417, "an expectation other than 100-continue"}
	}
	f.expects = true
	return true, nil
}

func (f *framing) takeLength(v []byte) error {
	n, ok := number(v)
	switch {
	case !ok:
		return bad("Content-Length that is no number")
	case f.length >= 0:
		return bad("Content-Length twice")
	case f.coda:
		return bad("Content-Length together with Transfer-Encoding")
	}
	f.length = n
	return nil
}

func (f *framing) takeCoding(v []byte) error {
	switch {
	case f.coda:
		return bad("Transfer-Encoding twice")
	case f.length >= 0:
		return bad("Content-Length together with Transfer-Encoding")
	case !message.Equal(v, "chunked"):
		return Error{501, "Transfer-Encoding other than chunked"}
	}
	f.coda, f.chunked = true, true
	return nil
}

func (f *framing) takeConnection(v []byte) error {
	for t := range message.Tokens(v) {
		switch {
		case message.Equal(t, "close"):
			f.close = true
		case message.Equal(t, "keep-alive"):
			f.keepAlive = true
		case message.Equal(t, "upgrade"):
			f.upgrade = true
		default:
			f.nominates = true
		}
	}
	if f.connections == len(f.connection) {
		return bad("Connection too many times")
	}
	f.connection[f.connections] = v
	f.connections++
	return nil
}

// dropNominated removes the fields that Connection names: they are for us only (RFC 9110 7.6.1).
func (f *framing) dropNominated(h *message.Header) {
	for _, list := range f.connection[:f.connections] {
		for t := range message.Tokens(list) {
			h.Del(string(t))
		}
	}
}

// headEnd returns how long the head at the beginning of b is, the empty line included; 0: it is not whole. from is up to where b was
// looked at before. A line that ends with a bare LF is refused at once: nothing that follows could make it good.
func headEnd(b []byte, from int) (int, error) {
	if i := bytes.Index(b[max(0, from-3):], []byte("\r\n\r\n")); i >= 0 {
		return max(0, from-3) + i + 4, nil
	}
	for rest := b; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return 0, nil
		}
		if i == 0 || rest[i-1] != '\r' {
			return 0, bad("a line that does not end with CRLF")
		}
		rest = rest[i+1:]
	}
}
