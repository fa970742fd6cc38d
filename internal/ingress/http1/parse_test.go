package http1

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// parsed is what comes of a head, in a form that can be compared.
type parsed struct {
	Method, Target, Query, Host, Authority, Upgrade string
	Minor                                           int
	Length                                          int64
	Expect                                          bool
	Header                                          []string
}

func parse(head string) (parsed, error) {
	var r message.Request
	var f framing
	limits := Limits{}.WithDefaults()
	if err := parseRequest([]byte(head), &r, &f, &limits); err != nil {
		return parsed{}, err
	}
	p := parsed{
		Method: r.Method, Target: string(r.Target), Query: string(r.Query), Host: r.Host, Authority: string(r.Authority),
		Upgrade: r.Upgrade, Minor: r.Minor, Length: r.Length, Expect: r.ExpectContinue,
	}
	for _, h := range r.Header {
		p.Header = append(p.Header, string(h.Name)+": "+string(h.Value))
	}
	return p, nil
}

func TestParseRequest(t *testing.T) {
	tests := []struct {
		name, head string
		want       parsed
	}{
		{
			"plain", "GET /a?b=c HTTP/1.1\r\nHost: Example.COM:8080\r\nAccept:  x \t\r\nEmpty:\r\n\r\n",
			parsed{
				Method: "GET", Target: "/a?b=c", Query: "b=c", Host: "example.com", Authority: "Example.COM:8080", Minor: 1,
				Header: []string{"Accept: x", "Empty: "},
			},
		},
		{
			"absolute form", "GET HTTP://other.example:1?x HTTP/1.1\r\nHost: example.com\r\n\r\n",
			parsed{Method: "GET", Target: "/?x", Query: "x", Host: "other.example", Authority: "other.example:1", Minor: 1},
		},
		{
			"what is about the connection", "POST / HTTP/1.1\r\nHost: h\r\nConnection: a, B\r\nA: 1\r\nb: 2\r\nC: 3\r\nTE: x\r\n" +
				"Keep-Alive: x\r\nProxy-Connection: x\r\nTransfer-Encoding: Chunked\r\n\r\n",
			parsed{Method: "POST", Target: "/", Host: "h", Authority: "h", Minor: 1, Length: -1, Header: []string{"C: 3"}},
		},
		{
			"upgrade", "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
			parsed{Method: "GET", Target: "/", Host: "h", Authority: "h", Minor: 1, Upgrade: "websocket"},
		},
		{
			"upgrade that Connection does not name", "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
			parsed{Method: "GET", Target: "/", Host: "h", Authority: "h", Minor: 1},
		},
		{
			"expectation", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 007\r\nExpect: 100-Continue\r\n\r\n",
			parsed{Method: "PUT", Target: "/", Host: "h", Authority: "h", Minor: 1, Length: 7, Expect: true},
		},
		{"HTTP/1.0 without a host", "GET / HTTP/1.0\r\n\r\n", parsed{Method: "GET", Target: "/"}},
		{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", parsed{Method: "GET", Target: "/", Host: "h", Authority: "h", Minor: 1}},
		{"address", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", parsed{Method: "GET", Target: "/", Host: "[::1]", Authority: "[::1]:80", Minor: 1}},
		{
			"any token is a method", "M-SEARCH / HTTP/1.1\r\nHost: h\r\n\r\n",
			parsed{Method: "M-SEARCH", Target: "/", Host: "h", Authority: "h", Minor: 1},
		},
		{"OPTIONS of the server", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", parsed{Method: "OPTIONS", Target: "*", Host: "h", Authority: "h", Minor: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parse(test.head)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestParseRequestRefuses has what enginetest.Framing has not.
func TestParseRequestRefuses(t *testing.T) {
	const rest = " HTTP/1.1\r\nHost: h\r\n\r\n"
	tests := map[string]int{
		"CONNECT h:1" + rest:      405,
		"GET *" + rest:            400,
		"GET x" + rest:            400,
		"GET ftp://h/" + rest:     400,
		"GET http:///x" + rest:    400,
		"GET http://u@h/x" + rest: 400,
		"GET /#x" + rest:          400,
		"GET " + rest:             400,
		" GET /" + rest:           400,
		"G(T /" + rest:            400,
		"GET /" + strings.Repeat("x", 9000) + rest:                                        414,
		"GET / HTTP/2.0\r\nHost: h\r\n\r\n":                                               505,
		"GET / http/1.1\r\nHost: h\r\n\r\n":                                               400,
		"GET / HTTP/1.1 \r\nHost: h\r\n\r\n":                                              400,
		"GET / HTTP/11\r\nHost: h\r\n\r\n":                                                400,
		"GET /\r\n\r\n":                                                                   400,
		"GET / HTTP/1.1\r\nHost: h:x\r\n\r\n":                                             400,
		"GET / HTTP/1.1\r\nHost: h..i\r\n\r\n":                                            400,
		"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n":                                            400,
		"GET / HTTP/1.1\r\nHost: h\r\nA: \x7f\r\n\r\n":                                    400,
		"GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A: b\r\n", 300) + "\r\n":        431,
		"GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("Connection: a\r\n", 5) + "\r\n": 400,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n":          501,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \r\n\r\n":                       501,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n":      501,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n":            501,
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\x0b\r\n\r\n":                     400,
	}
	for head, status := range tests {
		_, err := parse(head)
		var refused Error
		if !errors.As(err, &refused) || refused.Status != status {
			t.Errorf("%.80q: %v, want status %d", head, err, status)
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	head := []byte("GET /a HTTP/1.1\r\nHost: example.com\r\nAccept: x\r\nUser-Agent: y\r\n\r\n")
	var r message.Request
	var f framing
	limits := Limits{}.WithDefaults()
	if n := testing.AllocsPerRun(100, func() {
		if err := parseRequest(head, &r, &f, &limits); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a request like the one before", n)
	}
}

func TestParseResponse(t *testing.T) {
	limits := Limits{}.WithDefaults()
	good := map[string]int{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n": 200,
		"HTTP/1.1 204\r\n\r\n":                         204,
		"HTTP/1.0 404 \r\nA: b\r\n\r\n":                404,
		"HTTP/1.1 999 x\xffy\r\n\r\n":                  999,
	}
	for head, status := range good {
		var r message.Response
		var f framing
		if _, err := parseResponse([]byte(head), &r, &f, &limits); err != nil || r.Status != status {
			t.Errorf("%q: %d, %v", head, r.Status, err)
		}
	}
	for _, head := range []string{
		"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
		"HTTP/1.1 200 O\x00K\r\n\r\n", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"\r\n\r\n", "x\r\n\r\n",
	} {
		var r message.Response
		var f framing
		if _, err := parseResponse([]byte(head), &r, &f, &limits); err == nil {
			t.Errorf("%q is taken", head)
		}
	}
}
