package http1

import (
	"bytes"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// parseRequest parses a whole head into r, which keeps slices of it. All fields of r that the head decides are set; those that the
// connection decides, and Path, are left alone.
func parseRequest(head []byte, r *message.Request, f *framing, limits *Limits) error {
	line, err := requestLine(head, r, limits)
	if err != nil {
		return err
	}
	*f = framing{length: -1}
	r.Header = r.Header[:0]
	if err := f.fields(head[line:len(head)-2], &r.Header, limits.Fields); err != nil {
		return err
	}
	if err := settleTarget(r, f); err != nil {
		return err
	}
	return settleBody(r, f)
}

// requestLine parses the first line and returns its length.
func requestLine(head []byte, r *message.Request, limits *Limits) (int, error) {
	n := span(head, token)
	if n == 0 || head[n] != ' ' {
		return 0, bad("a method that is none")
	}
	r.Method = method(head[:n])
	rest := head[n+1:]
	n = span(rest, target)
	if n > limits.Line {
		return 0, Error{414, "a request-target that is too long"}
	}
	if n == 0 || rest[n] != ' ' {
		return 0, bad("a request-target that is none")
	}
	r.Target = rest[:n:n]
	version := rest[n+1:]
	if len(version) < 10 || string(version[:5]) != "HTTP/" || classes[version[5]]&digit == 0 || version[6] != '.' ||
		classes[version[7]]&digit == 0 || version[8] != '\r' || version[9] != '\n' {
		return 0, bad("a first line that does not end with a version of HTTP and CRLF")
	}
	if version[5] != '1' {
		return 0, Error{505, "a version of HTTP other than 1"}
	}
	r.Major, r.Minor = 1, min(int(version[7]-'0'), 1)
	return len(head) - len(version) + 10, nil
}

// method returns the method, without an allocation for those that are known.
func method(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "PATCH":
		return "PATCH"
	case "DELETE":
		return "DELETE"
	case "OPTIONS":
		return "OPTIONS"
	}
	return string(b)
}

// settleTarget brings the request-target into origin form, and finds the host: that of a target in absolute form, else of Host
// (RFC 9112 3.2.2).
func settleTarget(r *message.Request, f *framing) error {
	r.Authority = f.host
	switch {
	case r.Target[0] == '/':
	case r.Method == "OPTIONS" && len(r.Target) == 1 && r.Target[0] == '*':
	case r.Method == "CONNECT":
		return Error{405, "CONNECT"}
	default:
		rest, ok := cutScheme(r.Target)
		if !ok {
			return bad("a request-target in no form that is known")
		}
		end := bytes.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		r.Authority, r.Target = rest[:end:end], rest[end:]
		if len(r.Target) == 0 || r.Target[0] == '?' {
			r.Target = append([]byte("/"), r.Target...)
		}
	}
	r.Query = nil
	if i := bytes.IndexByte(r.Target, '?'); i >= 0 {
		r.Query = r.Target[i+1:]
	}
	if !f.hasHost && r.Minor > 0 {
		return bad("no Host")
	}
	if len(r.Authority) == 0 {
		if f.hasHost || r.Minor > 0 {
			return bad("an empty Host")
		}
		r.Host = "" // of HTTP/1.0
		return nil
	}
	host, ok := hostOf(r.Authority, r.Host)
	if !ok {
		return bad("a Host that is no name or address")
	}
	r.Host = host
	return nil
}

func cutScheme(t []byte) ([]byte, bool) {
	for _, scheme := range []string{"http://", "https://"} {
		if len(t) > len(scheme) && message.Equal(t[:len(scheme)], scheme) {
			return t[len(scheme):], true
		}
	}
	return nil, false
}

// hostOf returns the name or address of an authority in lower case, without port and final dot. before is the one of the request
// before on the connection: it is mostly the same, and then nothing is allocated.
func hostOf(authority []byte, before string) (string, bool) {
	host := authority
	if authority[0] == '[' {
		end := bytes.IndexByte(authority, ']')
		if end < 0 || span6(authority[1:end]) != end-1 || !goodPort(authority[end+1:]) {
			return "", false
		}
		host = authority[:end+1]
	} else if i := bytes.IndexByte(authority, ':'); i >= 0 {
		if !goodPort(authority[i:]) {
			return "", false
		}
		host = authority[:i]
	}
	if n := len(host); n > 1 && host[n-1] == '.' {
		host = host[:n-1]
	}
	if string(host) == before && before != "" {
		return before, true
	}
	if authority[0] != '[' && !goodName(host) {
		return "", false
	}
	return strings.ToLower(string(host)), true
}

// goodName says whether a host name has only letters, digits, "-", "_" and "." in it, and no empty label.
func goodName(name []byte) bool {
	before := byte('.')
	for _, c := range name {
		switch {
		case c == '.' && before == '.':
			return false
		case c != '.' && c != '-' && c != '_' && (classes[c]&token == 0 || !alphanumeric(c)):
			return false
		}
		before = c
	}
	return len(name) > 0 && before != '.'
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// span6 is span for addresses of IPv6.
func span6(b []byte) int {
	for i, c := range b {
		if hex(c) < 0 && c != ':' && c != '.' {
			return i
		}
	}
	return len(b)
}

// goodPort says whether b is nothing, or a colon and digits.
func goodPort(b []byte) bool {
	return len(b) == 0 || b[0] == ':' && len(b) <= 6 && span(b[1:], digit) == len(b)-1
}

// settleBody finds out how long the body is (RFC 9112 6.3), and what the client wants to change to.
func settleBody(r *message.Request, f *framing) error {
	switch {
	case f.chunked && r.Minor == 0:
		return bad("Transfer-Encoding in HTTP/1.0")
	case f.chunked:
		r.Length = -1
	default:
		r.Length = max(f.length, 0)
	}
	r.ExpectContinue = f.expects && r.Minor > 0 && r.Length != 0
	if !f.upgrade || r.Minor == 0 || r.Length != 0 || len(f.protocol) == 0 {
		r.Upgrade = ""
		return nil
	}
	r.Upgrade = string(f.protocol)
	return nil
}
