package fastcgi

import (
	"bytes"
	"strconv"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// parseHead parses the head of a response of CGI (RFC 3875 section 6) at the beginning of b into r, and returns its length with the
// empty line; 0: it is not whole.
func parseHead(b []byte, r *message.Response) (int, error) {
	*r = message.Response{Length: -1, Header: r.Header[:0]}
	for at := 0; ; {
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			return 0, nil
		}
		line := bytes.TrimSuffix(b[at:at+end], []byte("\r"))
		at += end + 1
		if len(line) == 0 {
			return at, settle(r)
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t")
		if !ok || !goodName(name) || !goodValue(value) {
			return 0, Error{"a bad field in the head of a response"}
		}
		if err := take(r, name, value); err != nil {
			return 0, err
		}
	}
}

// take takes one field.
func take(r *message.Response, name, value []byte) error {
	switch {
	case message.Equal(name, "status"):
		number, _, _ := bytes.Cut(value, []byte(" "))
		n, err := strconv.ParseUint(string(number), 10, 16)
		if err != nil || len(number) != 3 || n < 200 || r.Status != 0 {
			return Error{"a bad Status"}
		}
		r.Status = int(n)
	case message.Equal(name, "content-length"):
		n, err := strconv.ParseUint(string(value), 10, 62)
		if err != nil || r.Length >= 0 {
			return Error{"a bad Content-Length"}
		}
		r.Length = int64(n)
	case message.Equal(name, "connection"), message.Equal(name, "keep-alive"), message.Equal(name, "transfer-encoding"),
		message.Equal(name, "upgrade"), message.Equal(name, "te"), message.Equal(name, "trailer"), message.Equal(name, "proxy-connection"):
	default:
		r.Header.Add(bytes.Clone(name), bytes.Clone(value))
	}
	return nil
}

// settle gives a response without a status the one that its fields ask for.
func settle(r *message.Response) error {
	switch {
	case r.Status != 0:
	case len(r.Header) == 0 && r.Length < 0:
		return Error{"a response without a head"}
	case r.Header.Has("location"):
		r.Status = 302
	default:
		r.Status = 200
	}
	return nil
}

// goodName says whether a field's name is a token (RFC 9110 5.6.2).
func goodName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f || bytes.IndexByte([]byte(`"(),/:;<=>?@[\]{}`), c) >= 0 {
			return false
		}
	}
	return len(name) > 0
}

// goodValue says whether a field's value has no control characters but tabs.
func goodValue(value []byte) bool {
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
