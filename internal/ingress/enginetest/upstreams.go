package enginetest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// scripted is an endpoint whose answers are bytes.
type scripted struct {
	addr netip.AddrPort
	mu   sync.Mutex
	seen int // requests, guarded by mu
}

// script starts an endpoint. answer is called for each request, the nth of its connection from 0; false closes the connection.
func script(t testing.TB, answer func(w io.Writer, r *http.Request, n int) bool) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{addr: netip.MustParseAddrPort(l.Addr().String())}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c, answer)
		}
	}()
	return s
}

func (s *scripted) serve(c net.Conn, answer func(io.Writer, *http.Request, int) bool) {
	defer c.Close()
	in := bufio.NewReader(c)
	for n := 0; ; n++ {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		s.mu.Lock()
		s.seen++
		s.mu.Unlock()
		if !answer(c, r, n) {
			return
		}
	}
}

func (s *scripted) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// raw is an endpoint that always answers with the same bytes, and closes.
func raw(t testing.TB, text string) netip.AddrPort {
	return script(t, func(w io.Writer, _ *http.Request, _ int) bool {
		_, _ = io.WriteString(w, text)
		return false
	}).addr
}

// Upstreams has endpoints that fail, or answer in odd ways.
func Upstreams(t *testing.T, start Start) {
	t.Run("no connection", func(t *testing.T) { noConnection(t, start) })
	t.Run("no answer", func(t *testing.T) { noAnswer(t, start) })
	t.Run("idle connections that are closed", func(t *testing.T) { staleConnections(t, start) })
	t.Run("a response that breaks off", func(t *testing.T) { brokenResponse(t, start) })
	t.Run("interim responses", func(t *testing.T) { interimResponses(t, start) })
	t.Run("a body in a file", func(t *testing.T) { bodyInFile(t, start) })
	t.Run("large responses", func(t *testing.T) { largeResponses(t, start) })
	t.Run("answers", func(t *testing.T) { Run(t, start, answers(t)) })
}

// noConnection has requests of all kinds go to another endpoint if one cannot be connected to.
func noConnection(t *testing.T, start Start) {
	start.skip(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(l.Addr().String())
	_ = l.Close()
	e := Serve(t, start, Case{Manifest: plain, Servers: map[string]netip.AddrPort{"web": addr}})
	for i := range 20 {
		if a := e.Do(t, Step{Method: []string{"GET", "POST"}[i%2], Body: "x"}); a.response.StatusCode != 200 {
			t.Errorf("request %d: %s", i, a.response.Status)
		}
	}
}

// noAnswer has requests that may be repeated go to another endpoint, and others not: they reach an endpoint once.
func noAnswer(t *testing.T, start Start) {
	start.skip(t)
	bad := script(t, func(io.Writer, *http.Request, int) bool { return false })
	e := Serve(t, start, Case{Manifest: plain, Servers: map[string]netip.AddrPort{"web": bad.addr}})
	for i := range 10 {
		if a := e.Do(t, Step{Method: "PUT", Body: "x"}); a.response.StatusCode != 200 {
			t.Errorf("PUT %d: %s", i, a.response.Status)
		}
	}
	e = Serve(t, start, Case{Manifest: plain, Servers: map[string]netip.AddrPort{"web": bad.addr}})
	e.Seen("web")
	before, failed := bad.requests(), 0
	const n = 10
	for i := range n {
		switch a := e.Do(t, Step{Method: "POST", Body: "x"}); a.response.StatusCode {
		case 200:
		case 502:
			failed++
		default:
			t.Errorf("POST %d: %s", i, a.response.Status)
		}
	}
	if lost := bad.requests() - before; lost != failed || lost+len(e.Seen("web")) != n {
		t.Errorf("%d POSTs have reached the bad endpoint, %d have failed", lost, failed)
	}
}

// staleConnections has an endpoint that closes each connection when a second request comes.
func staleConnections(t *testing.T, start Start) {
	start.skip(t)
	s := script(t, func(w io.Writer, _ *http.Request, n int) bool {
		if n > 0 {
			return false
		}
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		return true
	})
	e := Serve(t, start, Case{Manifest: ingress("stale", "stale.example", "stale"), Servers: map[string]netip.AddrPort{"stale": s.addr}})
	for i := range 10 {
		if a := e.Do(t, Step{Host: "stale.example"}); a.response.StatusCode != 200 || a.body != "ok" {
			t.Errorf("request %d: %s %s", i, a.response.Status, a.body)
		}
	}
}

// brokenResponse has responses that end too early: the client has to see that something is missing.
func brokenResponse(t *testing.T, start Start) {
	start.skip(t)
	for name, text := range map[string]string{
		"sized":   "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			e := Serve(t, start, Case{Manifest: ingress("cut", "cut.example", "cut"), Servers: map[string]netip.AddrPort{"cut": raw(t, text)}})
			request, err := http.NewRequest(http.MethodGet, "http://"+e.HTTP+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = "cut.example"
			client := http.Client{Timeout: patience}
			response, err := client.Do(request)
			if err != nil {
				return // it failed before its head was there
			}
			defer response.Body.Close()
			if body, err := io.ReadAll(response.Body); err == nil {
				t.Errorf("a whole answer: %q", body)
			}
		})
	}
}

// interimResponses has one that is for the client, and one that is not.
func interimResponses(t *testing.T, start Start) {
	start.skip(t)
	addr := raw(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	e := Serve(t, start, Case{Manifest: ingress("early", "early.example", "early"), Servers: map[string]netip.AddrPort{"early": addr}})
	c, err := net.Dial("tcp", e.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: early.example\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if want := "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"; !strings.HasPrefix(string(got), want) {
		t.Errorf("the client got %q, want %q first", got, want)
	}
}

// bodyInFile has a body that is kept before it is sent, and too long for memory.
func bodyInFile(t *testing.T, start Start) {
	start.skip(t)
	body := strings.Repeat("0123456789abcdef", 200<<10)
	e := Serve(t, start, Case{Manifest: ingress("file", "file.example", "web", "proxy-body-size", "8m", "client-body-buffer-size", "8k")})
	if a := e.Do(t, Step{Host: "file.example", Method: "POST", Body: body}); a.response.StatusCode != 200 {
		t.Fatalf("%s: %s", a.response.Status, a.body)
	}
	seen := e.Seen("web")
	if len(seen) != 1 || seen[0].Body != body || seen[0].Length != int64(len(body)) {
		t.Errorf("%d requests; the body came otherwise than it was sent", len(seen))
	}
}

// largeResponses compares what comes of a large body, of known length and in chunks, by all ways to the client.
func largeResponses(t *testing.T, start Start) {
	start.skip(t)
	body := make([]byte, 5<<20+17)
	_, _ = rand.Read(body)
	addr := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sized" {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		_, _ = w.Write(body)
	})
	e := Serve(t, start, Case{Manifest: ingress("large", "large.example", "large"), Servers: map[string]netip.AddrPort{"large": addr}})
	for _, target := range []string{"/sized", "/chunked"} {
		for _, s := range []Step{{}, {TLS: true}, {TLS: true, HTTP2: true}} {
			s.Host, s.Target = "large.example", target
			if a := e.Do(t, s); a.response.StatusCode != 200 || a.body != string(body) {
				t.Errorf("%s, TLS %v, HTTP/2 %v: %s, %d bytes that differ from %d", target, s.TLS, s.HTTP2, a.response.Status, len(a.body), len(body))
			}
		}
	}
}

// answers are responses as bytes, and what the client gets.
func answers(t testing.TB) []Case {
	one := func(name, text string, want Want) Case {
		return Case{
			Name: name, Manifest: ingress("raw", "raw.example", "raw"), Servers: map[string]netip.AddrPort{"raw": raw(t, text)},
			Steps: []Step{{Name: "answer", Host: "raw.example", Want: want}},
		}
	}
	bad := Want{Status: 502}
	large := strings.Repeat("x", 20<<10)
	return []Case{
		one("until close", "HTTP/1.1 200 OK\r\n\r\nhello", Want{Status: 200, Body: "hello"}),
		one("HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", Want{Status: 200, Body: "hello"}),
		one("chunks with extensions", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", Want{Status: 200, Body: "hello"}),
		one("a large head", "HTTP/1.1 200 OK\r\nA: "+large+"\r\nContent-Length: 0\r\n\r\n", Want{Status: 200, Header: map[string]string{"A": large}}),
		one("hop by hop", "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nX: y\r\nContent-Length: 0\r\n\r\n",
			Want{Status: 200, Header: map[string]string{"X-Hop": "", "Keep-Alive": "", "X": "y"}}),
		one("a change of protocol that nobody wants", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", bad),
		one("length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", bad),
		one("two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", bad),
		one("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", bad),
		one("a bad name", "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", bad),
		one("no HTTP", "hello\r\n\r\n", bad),
		one("nothing", "", bad),
		one("half a head", "HTTP/1.1 200 OK\r\nA: b", bad),
	}
}

// Clients has what clients may do with a connection beside requests one after the other.
func Clients(t *testing.T, start Start) {
	const get = "GET /%d HTTP/1.1\r\nHost: example.com\r\n\r\n"
	served := func(n int) Want { return Want{Status: 200, Backend: "?", Body: fmt.Sprintf(`"Target":"/%d"`, n)} }
	two := configMap("controller", "keep-alive-requests", "2")
	Run(t, start, []Case{
		{
			Name: "pipelining", Manifest: plain,
			Steps: []Step{{
				Name: "answers are in order", Raw: fmt.Sprintf(get+get+get, 1, 2, 3), Want: served(1), More: []Want{served(2), served(3)},
			}},
		},
		{
			Name: "as many requests as a connection may have", Manifest: plain + two,
			Steps: []Step{{Name: "is closed after them", Raw: fmt.Sprintf(get+get, 1, 2), Want: served(1), More: []Want{{Status: 200, Backend: "?", Closed: true}}}},
		},
		{
			Name: "HTTP/1.0", Manifest: plain,
			Steps: []Step{{
				Name: "is kept if that is asked for", Raw: "GET /1 HTTP/1.0\r\nHost: example.com\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\nHost: example.com\r\n\r\n",
				Want: served(1), More: []Want{{Status: 200, Backend: "?", Closed: true}},
			}},
		},
		{
			Name: "an empty line before a request", Manifest: plain,
			Steps: []Step{{Name: "is nothing", Raw: "\r\n" + fmt.Sprintf(get, 1), Want: served(1)}},
		},
		{
			Name: "slow", Manifest: plain + configMap("controller", "client-header-timeout", "1", "client-body-timeout", "1"),
			Steps: []Step{
				{Name: "head", Raw: "GET / HTTP/1.1\r\nHost:", Want: Want{Status: 408, Closed: true}},
				{
					Name: "body", Raw: "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhel",
					Want: Want{Status: 408, Closed: true},
				},
			},
		},
		{
			Name: "limits of heads", Manifest: plain,
			Steps: []Step{
				{
					Name: "a target", Raw: "GET /" + strings.Repeat("x", 9<<10) + " HTTP/1.1\r\nHost: example.com\r\n\r\n",
					Want: Want{Status: 414, Closed: true},
				},
				{
					Name: "all fields", Raw: "GET / HTTP/1.1\r\nHost: example.com\r\nA: " + strings.Repeat("x", 70<<10),
					Want: Want{Status: 431, Closed: true},
				},
			},
		},
	})
	t.Run("100-continue", func(t *testing.T) { expectations(t, start) })
}

// expectations has a client that waits for 100 Continue.
func expectations(t *testing.T, start Start) {
	start.skip(t)
	e := Serve(t, start, Case{Manifest: ingress("expect", "example.com", "web", "proxy-body-size", "8")})
	ask := func(length int) (*bufio.Reader, net.Conn) {
		c, err := net.Dial("tcp", e.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: example.com\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", length)
		if err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(c), c
	}
	r, c := ask(5)
	want := []byte("HTTP/1.1 100 Continue\r\n\r\n")
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%q, %v; want %q", got, err, want)
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if response, err := http.ReadResponse(r, nil); err != nil || response.StatusCode != 200 {
		t.Errorf("after the body: %v, %v", response, err)
	}
	r, _ = ask(9)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != 413 {
		t.Fatalf("a body that is too long: %v, %v; want 413 without 100 before", response, err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Error(err)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after 413: %v, want the end of the connection", err)
	}
}
