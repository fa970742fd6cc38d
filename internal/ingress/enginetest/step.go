package enginetest

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// patience bounds each step.
const patience = 8 * time.Second

// Step is one request and what has to come of it.
type Step struct {
	Name string
	// Method is GET if it is empty, Target "/", Host "example.com".
	Method, Target, Host string
	Header               [][2]string
	Body                 string
	// TLS connects to the address with TLS, with Host as the server name. Certificates are for clients.
	TLS          bool
	HTTP2        bool
	Certificates []tls.Certificate
	// Raw is sent as it is, instead of the fields above. It is over when the entry closes or has answered as many times as Want has.
	Raw  string
	Want Want
	// More are the further answers to Raw.
	More []Want
}

// Want is what the client and the backend see. Zero fields are not looked at, unless their comment says so.
type Want struct {
	Status int
	// Header has values; "": the field is not there.
	Header map[string]string
	// Body is a part of the answer.
	Body string
	// Backend is who was asked; "": nobody, "*": somebody, "?": that is not looked at.
	Backend string
	// What the backend saw; SeenHeader as Header, of several fields the first.
	Seen       Seen
	SeenHeader map[string]string
	// Closed says that the connection is closed after the answer (of Raw).
	Closed bool
	// CommonName is that of the certificate that was shown.
	CommonName string
}

// answer is what a client has got.
type answer struct {
	response *http.Response
	body     string
}

func (e *Entry) step(t *testing.T, s Step) {
	t.Helper()
	for name := range e.backends {
		e.Seen(name)
	}
	if s.Raw != "" {
		e.raw(t, s)
		return
	}
	a := e.Do(t, s)
	e.check(t, s.Want, a)
}

// Do makes the request of a step.
func (e *Entry) Do(t testing.TB, s Step) answer {
	t.Helper()
	addr, scheme := e.HTTP, "http"
	if s.TLS {
		addr, scheme = e.HTTPS, "https"
	}
	if s.Host == "" {
		s.Host = "example.com"
	}
	if s.Target == "" {
		s.Target = "/"
	}
	name, _, _ := strings.Cut(s.Host, ":")
	transport := &http.Transport{
		DisableCompression: true, DisableKeepAlives: true, ForceAttemptHTTP2: s.HTTP2,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: name, Certificates: s.Certificates},
	}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, s.Method, scheme+"://"+s.Host, strings.NewReader(s.Body))
	if err != nil {
		t.Fatal(err)
	}
	request.URL = &url.URL{Scheme: scheme, Host: s.Host, Opaque: s.Target}
	request.Header = http.Header{"User-Agent": nil}
	for _, h := range s.Header {
		request.Header[h[0]] = append(request.Header[h[0]], h[1])
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s %s: %v", request.Method, s.Target, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	return answer{response, string(body)}
}

// raw sends bytes and reads answers.
func (e *Entry) raw(t *testing.T, s Step) {
	t.Helper()
	c, err := net.Dial("tcp", e.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, s.Raw); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	method, _, _ := strings.Cut(s.Raw, " ")
	for i, want := range append([]Want{s.Want}, s.More...) {
		response, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("answer %d: %v", i+1, err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatalf("body of answer %d: %v", i+1, err)
		}
		e.check(t, want, answer{response, string(body)})
		if want.Closed {
			if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("after answer %d: %v, want the end of the connection", i+1, err)
			}
		}
	}
}

// check compares an answer, and what backends have seen.
func (e *Entry) check(t *testing.T, want Want, a answer) {
	t.Helper()
	if want.Status != 0 && a.response.StatusCode != want.Status {
		t.Errorf("status %d, want %d; body: %s", a.response.StatusCode, want.Status, a.body)
	}
	checkHeader(t, "answer", a.response.Header, want.Header)
	if !strings.Contains(a.body, want.Body) {
		t.Errorf("body %q, want %q in it", a.body, want.Body)
	}
	if want.CommonName != "" {
		if s := a.response.TLS; s == nil || s.PeerCertificates[0].Subject.CommonName != want.CommonName {
			t.Errorf("not the certificate of %s", want.CommonName)
		}
	}
	if want.Backend == "?" {
		return
	}
	var seen []Seen
	for name := range e.backends {
		seen = append(seen, e.Seen(name)...)
	}
	if want.Backend == "" {
		if len(seen) > 0 && want.Status != 0 {
			t.Errorf("a backend was asked: %+v", seen)
		}
		return
	}
	if len(seen) != 1 {
		t.Fatalf("%d requests have come to backends, want 1; answer: %d %s", len(seen), a.response.StatusCode, a.body)
	}
	checkSeen(t, want, seen[0])
}

func checkSeen(t *testing.T, want Want, seen Seen) {
	t.Helper()
	if want.Backend != "*" && seen.Backend != want.Backend {
		t.Errorf("backend %s was asked, want %s", seen.Backend, want.Backend)
	}
	w := &want.Seen
	for _, c := range []struct{ what, want, got string }{
		{"method", w.Method, seen.Method},
		{"target", w.Target, seen.Target},
		{"host", w.Host, seen.Host},
		{"version", w.Proto, seen.Proto},
		{"body", w.Body, seen.Body},
	} {
		if c.want != "" && c.want != c.got {
			t.Errorf("the backend saw %s %q, want %q", c.what, c.got, c.want)
		}
	}
	if w.Length != 0 && w.Length != seen.Length {
		t.Errorf("the backend saw length %d, want %d", seen.Length, w.Length)
	}
	if w.Trailer != nil {
		if diff := cmp.Diff(w.Trailer, seen.Trailer); diff != "" {
			t.Errorf("trailers at the backend (-want +got):\n%s", diff)
		}
	}
	checkHeader(t, "request at the backend", seen.Header, want.SeenHeader)
}

func checkHeader(t *testing.T, where string, got http.Header, want map[string]string) {
	t.Helper()
	for name, value := range want {
		values := got[http.CanonicalHeaderKey(name)]
		switch {
		case value == "" && len(values) > 0:
			t.Errorf("%s: %s: %q, want none", where, name, values)
		case value != "" && (len(values) == 0 || values[0] != value):
			t.Errorf("%s: %s: %q, want %q", where, name, values, value)
		}
	}
}

// Decode returns what the backend says in its answer that it has seen.
func (a answer) Decode(t testing.TB) Seen {
	t.Helper()
	var s Seen
	if err := json.Unmarshal([]byte(a.body), &s); err != nil {
		t.Fatalf("%q: %v", a.body, err)
	}
	return s
}
