package sni

import (
	"encoding/binary"
	"errors"
	"strings"
)

// MaxSize is how many bytes a ClientHello may have, with the headers of its records. Those of today have less than 2 KiB, with keys
// against quantum computers.
const MaxSize = 16 << 10

// ErrMalformed is what Parse returns for anything but a ClientHello.
var ErrMalformed = errors.New("not a ClientHello")

const (
	recordHeader    = 5
	maxRecord       = 1 << 14
	typeHandshake   = 22
	clientHello     = 1
	extensionName   = 0
	nameTypeHost    = 0
	handshakeHeader = 4
)

// Parse reads the ClientHello at the beginning of b, and returns the name in it in lower case; "": there is none. need is more than
// len(b) if b is too short to tell: there have to be that many bytes at least. An error is ErrMalformed.
func Parse(b []byte) (name string, need int, err error) {
	var message []byte
	for at := 0; ; {
		if len(b) < at+recordHeader {
			return "", at + recordHeader, nil
		}
		size := int(binary.BigEndian.Uint16(b[at+3:]))
		if b[at] != typeHandshake || b[at+1] != 3 || size == 0 || size > maxRecord || at+recordHeader+size > MaxSize {
			return "", 0, ErrMalformed
		}
		if need = at + recordHeader + size; len(b) < need {
			return "", need, nil
		}
		message = append(message, b[at+recordHeader:need]...)
		at = need
		if whole, err := wholeHello(message); err != nil || whole {
			break
		}
	}
	name, err = serverName(message)
	return name, 0, err
}

// wholeHello says whether the message has all its bytes.
func wholeHello(m []byte) (bool, error) {
	if m[0] != clientHello {
		return false, ErrMalformed
	}
	if len(m) < handshakeHeader {
		return false, nil
	}
	size := handshakeHeader + int(m[1])<<16 + int(m[2])<<8 + int(m[3])
	if size > MaxSize {
		return false, ErrMalformed
	}
	return len(m) >= size, nil
}

// reader takes pieces off a message; once one is missing, bad is true.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad = true
		r.b = nil
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

// vector takes a length of size bytes, and as many bytes as it says, which have to be between low and high.
func (r *reader) vector(size, low, high int) *reader {
	n := 0
	for _, c := range r.take(size) {
		n = n<<8 | int(c)
	}
	if n < low || n > high {
		r.bad = true
	}
	return &reader{b: r.take(n), bad: r.bad}
}

// serverName reads a ClientHello (RFC 8446 4.1.2).
func serverName(m []byte) (string, error) {
	if whole, err := wholeHello(m); err != nil || !whole {
		return "", ErrMalformed
	}
	r := &reader{b: m[1:]}
	r = r.vector(3, 0, MaxSize)
	r.take(2 + 32) // version and random
	r.vector(1, 0, 32)
	r.vector(2, 2, 1<<16-2)
	r.vector(1, 1, 1<<8-1)
	if len(r.b) == 0 && !r.bad {
		return "", nil // no extensions
	}
	extensions := r.vector(2, 0, 1<<16-1)
	if len(r.b) > 0 {
		return "", ErrMalformed
	}
	name, found := "", false
	for len(extensions.b) > 0 && !extensions.bad {
		kind := extensions.take(2)
		data := extensions.vector(2, 0, 1<<16-1)
		if extensions.bad || binary.BigEndian.Uint16(kind) != extensionName {
			continue
		}
		if found {
			return "", ErrMalformed
		}
		found = true
		if name = data.name(); name == "" {
			return "", ErrMalformed
		}
	}
	if r.bad || extensions.bad {
		return "", ErrMalformed
	}
	return name, nil
}

// name reads the content of the extension server_name; "": it is malformed.
func (r *reader) name() string {
	list := r.vector(2, 1, 1<<16-1)
	kind := list.take(1)
	host := list.vector(2, 1, 255)
	if list.bad || host.bad || r.bad || len(list.b) > 0 || len(r.b) > 0 || kind[0] != nameTypeHost || !goodName(host.b) {
		return ""
	}
	return strings.ToLower(string(host.b))
}

// goodName says whether a name has labels of letters, digits, "-" and "_", and none that is empty.
func goodName(name []byte) bool {
	label := 0
	for _, c := range name {
		switch {
		case c == '.' && label == 0:
			return false
		case c == '.':
			label = 0
			continue
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
		label++
	}
	return label > 0
}
