package http1

import (
	"bytes"

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
	host, ok := message.Hostname(r.Authority, r.Host)
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
