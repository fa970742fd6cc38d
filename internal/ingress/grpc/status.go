package grpc

import (
	"bytes"
	"strconv"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// Code is a status of gRPC (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md).
type Code int

// The codes that answers of the entry become.
const (
	Unknown           Code = 2
	DeadlineExceeded  Code = 4
	PermissionDenied  Code = 7
	ResourceExhausted Code = 8
	Unimplemented     Code = 12
	Internal          Code = 13
	Unavailable       Code = 14
	Unauthenticated   Code = 16
)

// CodeOf returns what a client makes of a status of HTTP without grpc-status
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md), but for bodies that are too large, and for backends
// that take too long.
func CodeOf(status int) Code {
	switch status {
	case 400, 431:
		return Internal
	case 401:
		return Unauthenticated
	case 403:
		return PermissionDenied
	case 404:
		return Unimplemented
	case 413:
		return ResourceExhausted
	case 429, 502, 503:
		return Unavailable
	case 504:
		return DeadlineExceeded
	}
	return Unknown
}

// Is says whether a request is a call of gRPC, by its Content-Type.
func Is(r *message.Request) bool {
	rest, ok := bytes.CutPrefix(r.Header.Get("content-type"), []byte("application/grpc"))
	return ok && r.Major >= 2 && (len(rest) == 0 || rest[0] == '+' || rest[0] == ';')
}

// Answer returns the head of a response without a body that says why a call has failed, as the entry answers with a status of HTTP.
func Answer(status int, reason string) *message.Response {
	r := &message.Response{Status: 200, Length: -1}
	r.Header.AddString("content-type", "application/grpc")
	r.Header.AddString("grpc-status", strconv.Itoa(int(CodeOf(status))))
	if reason != "" {
		r.Header.Add([]byte("grpc-message"), encode(reason))
	}
	return r
}

// encode is the percent-encoding of grpc-message: all but printable ASCII, and the percent sign.
func encode(s string) []byte {
	const digits = "0123456789ABCDEF"
	var b []byte
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			b = append(b, '%', digits[c>>4], digits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}
