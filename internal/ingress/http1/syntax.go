package http1

import "fmt"

// Error is why a message is refused.
type Error struct {
	// Status is what a client is answered with.
	Status int
	Reason string
}

func (e Error) Error() string { return fmt.Sprintf("%s (status %d)", e.Reason, e.Status) }

func bad(reason string) error { return Error{400, reason} }

// class says where a byte may be.
type class uint8

const (
	token  class = 1 << iota // of a name or method (RFC 9110 5.6.2)
	value                    // of a field's value (RFC 9110 5.5), with bytes beyond ASCII
	target                   // of a request-target; bytes beyond ASCII are let through, as nginx does
	digit
)

var classes = func() (t [256]class) {
	for c := range t {
		if c == '\t' || c >= ' ' && c != 0x7f {
			t[c] |= value
		}
		if c > ' ' && c != 0x7f && c != '#' {
			t[c] |= target
		}
		if '0' <= c && c <= '9' {
			t[c] |= digit | token
		}
		if lower := c | 0x20; 'a' <= lower && lower <= 'z' {
			t[c] |= token
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] |= token
	}
	return t
}()

// span returns how many bytes at the beginning of b are all of one class.
func span(b []byte, of class) int {
	for i, c := range b {
		if classes[c]&of == 0 {
			return i
		}
	}
	return len(b)
}

// trim removes white space around a value.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// number reads the digits of a length; false: there is something else, or it is too large.
func number(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 || span(b, digit) != len(b) {
		return 0, false
	}
	var n int64
	for _, c := range b {
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// hex returns the value of a hexadecimal digit; -1: it is none.
func hex(c byte) int64 {
	switch {
	case '0' <= c && c <= '9':
		return int64(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int64(c|0x20-'a') + 10
	}
	return -1
}
