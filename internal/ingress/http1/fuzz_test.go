package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// FuzzRequest holds the parser against net/http's: what it takes, that one reads in the same way, as far as it takes it at all.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /a?b HTTP/1.1\r\nHost: h:80\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nA: b\r\n\r\n",
		"GET http://h/x HTTP/1.0\r\nConnection: x, close\r\nX: 1\r\n\r\n",
		"GET / HTTP/1.1\nHost: h\n\n", "GET / HTTP/1.1\r\nHost: h\r\n X: y\r\n\r\n", "GET /\x00 HTTP/1.1\r\nA : b\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	limits := Limits{}.WithDefaults()
	f.Fuzz(func(t *testing.T, in []byte) {
		end, err := headEnd(in, 0)
		if err != nil || end == 0 {
			return
		}
		var r message.Request
		var fr framing
		if parseRequest(slices.Clone(in[:end:end]), &r, &fr, &limits) != nil {
			return
		}
		if bytes.ContainsAny(r.Target, " \r\n\x00") || strings.ContainsAny(r.Host, " /\r\n\x00") {
			t.Fatalf("target %q, host %q", r.Target, r.Host)
		}
		for _, h := range r.Header {
			if span(h.Name, token) != len(h.Name) || span(h.Value, value) != len(h.Value) {
				t.Fatalf("field %q: %q", h.Name, h.Value)
			}
		}
		compare(t, in, &r)
	})
}

// compare holds a request that was taken against what net/http reads.
func compare(t *testing.T, in []byte, r *message.Request) {
	t.Helper()
	theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(in)))
	if err != nil {
		return
	}
	if theirs.Method != r.Method {
		t.Fatalf("method %q, net/http reads %q", r.Method, theirs.Method)
	}
	if theirs.RequestURI[0] == '/' && theirs.RequestURI != string(r.Target) {
		t.Fatalf("target %q, net/http reads %q", r.Target, theirs.RequestURI)
	}
	if theirs.Host != string(r.Authority) {
		t.Fatalf("host %q, net/http reads %q", r.Authority, theirs.Host)
	}
	if theirs.ContentLength != r.Length {
		t.Fatalf("length %d, net/http reads %d", r.Length, theirs.ContentLength)
	}
	for _, h := range r.Header {
		if !slices.Contains(theirs.Header[http.CanonicalHeaderKey(string(h.Name))], string(h.Value)) {
			t.Fatalf("field %q: %q, net/http has %q", h.Name, h.Value, theirs.Header)
		}
	}
}

// FuzzChunked holds the decoder against net/http's: what it takes, that one reads in the same way; and cut anywhere, it is the same.
func FuzzChunked(f *testing.F) {
	for _, seed := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n00\r\nA: b\r\n\r\n", "a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\nGET", "5\nhello\n0\n\n",
		"5 \r\nhello\r\n0\r\n\r\n", "fffffffffffffffff\r\n", "-1\r\n", "5\r\nhelloX\r\n0\r\n\r\n",
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		whole, errWhole := decode(bytes.NewReader(in))
		cut, errCut := decode(&stepped{in, max(step, 1)})
		if (errWhole == nil) != (errCut == nil) || errWhole == nil && !bytes.Equal(whole, cut) {
			t.Fatalf("%q, %v at once, %q, %v in steps of %d", whole, errWhole, cut, errCut, step)
		}
		if errWhole != nil {
			return
		}
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(in)))
		if err == nil && !bytes.Equal(theirs, whole) {
			t.Fatalf("%q, net/http reads %q", whole, theirs)
		}
	})
}

// decode decodes a chunked body.
func decode(from io.Reader) ([]byte, error) {
	r := &reader{from: from, buffers: &Buffers{}}
	var b body
	b.begin(chunked, -1, 100)
	var out []byte
	for {
		p, err := b.read(r)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, p...)
	}
}

// stepped yields a few bytes at a time.
type stepped struct {
	in []byte
	n  int
}

func (s *stepped) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in[:min(s.n, len(s.in))])
	s.in = s.in[n:]
	return n, nil
}

// FuzzResponse holds the parser of responses against net/http's.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.0 404\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 304 x\r\nConnection: close\r\nETag: \"a\"\r\n\r\n", "HTTP/1.1 200 OK\nA: b\n\n",
	} {
		f.Add([]byte(seed))
	}
	limits := Limits{}.WithDefaults()
	f.Fuzz(func(t *testing.T, in []byte) {
		end, err := headEnd(in, 0)
		if err != nil || end == 0 {
			return
		}
		var r message.Response
		var fr framing
		if _, err := parseResponse(slices.Clone(in[:end:end]), &r, &fr, &limits); err != nil {
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(in)), nil)
		if err != nil {
			return
		}
		k := bodyOf("GET", &r, &fr)
		if theirs.StatusCode != r.Status || (theirs.ContentLength < 0) != (k == chunked || k == untilClose) ||
			k == sized && theirs.ContentLength != r.Length {
			t.Fatalf("status %d, length %d (%d); net/http reads %d, %d", r.Status, r.Length, k, theirs.StatusCode, theirs.ContentLength)
		}
	})
}
