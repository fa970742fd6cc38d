package http1

import (
	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// parseResponse parses a whole head into r, which keeps slices of it. Length is what the head says, whether there is a body or not:
// see bodyOf.
func parseResponse(head []byte, r *message.Response, f *framing, limits *Limits) (minor int, err error) {
	// HTTP/1.1 200 OK: the space after the status may be missing if there is no reason.
	if len(head) < 14 || string(head[:7]) != "HTTP/1." || classes[head[7]]&digit == 0 || head[8] != ' ' || span(head[9:12], digit) != 3 {
		return 0, bad("a status line that is none")
	}
	r.Status = int(head[9]-'0')*100 + int(head[10]-'0')*10 + int(head[11]-'0')
	n := span(head[12:], value)
	if r.Status < 100 || head[12+n] != '\r' || head[13+n] != '\n' || n > 0 && head[12] != ' ' {
		return 0, bad("a status line that is none")
	}
	*f = framing{length: -1}
	r.Header = r.Header[:0]
	if err := f.fields(head[14+n:len(head)-2], &r.Header, limits.Fields); err != nil {
		return 0, err
	}
	minor = min(int(head[7]-'0'), 1)
	if f.chunked && minor == 0 {
		return 0, bad("Transfer-Encoding in HTTP/1.0")
	}
	r.Length = f.length
	return minor, nil
}

// kind is how a body ends.
type kind uint8

const (
	none kind = iota
	sized
	chunked
	untilClose
)

// bodyOf settles how the body of a response ends (RFC 9112 6.3).
func bodyOf(method string, r *message.Response, f *framing) kind {
	switch {
	case method == "HEAD" || r.Status < 200 || r.Status == 204 || r.Status == 304:
		return none
	case f.chunked:
		return chunked
	case f.length == 0:
		return none
	case f.length > 0:
		return sized
	}
	return untilClose
}
