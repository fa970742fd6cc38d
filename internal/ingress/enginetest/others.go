package enginetest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// third is a server beside the entry and its backends, such as one that is asked for authentication.
type third struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	header http.Header
	seen   []Seen
}

func newThird(t testing.TB) *third {
	s := &third{status: 200}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen = append(s.seen, Seen{Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header, Body: string(body)})
		for name, values := range s.header {
			w.Header()[name] = values
		}
		w.WriteHeader(s.status)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *third) answers(status int, fields ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.header = status, http.Header{}
	for i := 0; i+1 < len(fields); i += 2 {
		s.header.Add(fields[i], fields[i+1])
	}
}

// asked waits for the next request that has come.
func (s *third) asked(t testing.TB) Seen {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		if len(s.seen) > 0 {
			first := s.seen[0]
			s.seen = s.seen[1:]
			s.mu.Unlock()
			return first
		}
		s.mu.Unlock()
	}
	t.Fatal("the other server is not asked")
	return Seen{}
}

// ExternalAuth runs the cases of auth-url.
func ExternalAuth(t *testing.T, start Start) {
	server := newThird(t)
	const names = "auth-response-headers: X-User, X-Groups\n"
	e := Serve(t, start, Case{Manifest: site{annotations: "auth-url: " + server.URL + "/check\n" + names}.String() +
		site{name: "signs-in", host: "sign.example", annotations: "auth-url: " + server.URL + "/check\nauth-signin: https://login.example/start"}.String() +
		site{name: "kept", host: "kept.example", annotations: "auth-url: " + server.URL + "/check\nauth-cache-key: $cookie_s"}.String()})

	server.answers(202, "X-User", "alice", "Set-Cookie", "s=1")
	e.step(t, Step{
		Method: "POST", Target: "/a?b", Body: "hello", Header: [][2]string{{"X-Groups", "admin"}, {"Cookie", "c=d"}, {"X-Original-Uri", "/other"}},
		Want: Want{
			Status: 200, Backend: "web", Seen: Seen{Body: "hello"}, SeenHeader: header{"X-User": "alice", "X-Groups": ""}, Header: header{"Set-Cookie": "s=1"},
		},
	})
	seen := server.asked(t)
	if seen.Method != "GET" || seen.Target != "/check" || seen.Body != "" {
		t.Errorf("asked: %+v", seen)
	}
	checkHeader(t, "question", seen.Header, header{
		"X-Original-Url": "http://example.com/a?b", "X-Original-Method": "POST", "X-Real-Ip": "127.0.0.1", "X-Forwarded-For": "127.0.0.1",
		"X-Auth-Request-Redirect": "/a?b", "X-Sent-From": "nginx-ingress-controller", "Cookie": "c=d", "X-Forwarded-Proto": "", "Content-Length": "",
	})
	for status, want := range map[int]Want{
		401: {Status: 401, Header: header{"Www-Authenticate": "Bearer"}}, 403: {Status: 403}, 302: {Status: 500}, 500: {Status: 500},
	} {
		server.answers(status, "WWW-Authenticate", "Bearer", "Location", "/")
		e.step(t, Step{Want: want})
	}
	server.answers(401)
	e.step(t, Step{Host: "sign.example", Target: "/a?b", Want: Want{
		Status: 302, Header: header{"Location": "https://login.example/start?rd=http://sign.example%2Fa%3Fb"},
	}})
	server.answers(200)
	e.step(t, Step{Host: "kept.example", Header: [][2]string{{"Cookie", "s=1"}}, Want: Want{Status: 200, Backend: "web"}})
	server.Close()
	e.step(t, Step{Host: "kept.example", Header: [][2]string{{"Cookie", "s=1"}}, Want: Want{Status: 200, Backend: "web"}})
	e.step(t, Step{Host: "kept.example", Header: [][2]string{{"Cookie", "s=2"}}, Want: Want{Status: 500}})
	e.step(t, Step{Want: Want{Status: 500}})
}

// Silence runs the case of return 444: the connection is closed without an answer.
func Silence(t *testing.T, start Start) {
	e := Serve(t, start, Case{Manifest: snippets + site{annotations: "configuration-snippet: if ($http_x_bad) { return 444; }"}.String()})
	c, err := net.Dial("tcp", e.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: example.com\r\nX-Bad: 1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if len(answer) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("answer %q, %v", answer, err)
	}
}

// Mirror runs the cases of mirror-target.
func Mirror(t *testing.T, start Start) {
	server := newThird(t)
	server.answers(500)
	e := Serve(t, start, Case{Manifest: site{annotations: "mirror-target: " + server.URL + "$request_uri\nmirror-host: copy.example"}.String()})
	e.step(t, Step{Method: "POST", Target: "/a?b", Body: "hello", Want: Want{Status: 200, Backend: "web", Seen: Seen{Body: "hello", Target: "/a?b"}}})
	if seen := server.asked(t); seen.Method != "POST" || seen.Target != "/a?b" || seen.Host != "copy.example" || seen.Body != "hello" {
		t.Errorf("the mirror has seen %+v", seen)
	}
	e.step(t, Step{Method: "POST", Body: strings.Repeat("x", 2<<20), Want: Want{Status: 413}})
}

// ErrorPages runs the cases of custom-http-errors and default-backend.
func ErrorPages(t *testing.T, start Start) {
	e := Serve(t, start, Case{
		Backends: []string{"web", "errors"},
		Manifest: site{annotations: "custom-http-errors: 403,404\ndefault-backend: errors"}.String() +
			site{name: "denied", host: "denied.example", annotations: "custom-http-errors: 403\ndefault-backend: errors\ndenylist-source-range: 127.0.0.0/8"}.String() +
			site{name: "empty", host: "empty.example", service: "none", annotations: "default-backend: errors"}.String() +
			"---\napiVersion: v1\nkind: Service\nmetadata: {name: none, namespace: default}\nspec: {clusterIP: 10.96.0.9, ports: [{name: http, port: 80, targetPort: 80}]}\n",
	})
	page := func(s Step, status int, code, uri string) Seen {
		t.Helper()
		e.Seen("web")
		e.Seen("errors")
		a := e.Do(t, s)
		seen := e.Seen("errors")
		if a.response.StatusCode != status || a.response.Header.Get("X-Backend") != "errors" || len(seen) != 1 {
			t.Fatalf("status %d from %q, pages %+v", a.response.StatusCode, a.response.Header.Get("X-Backend"), seen)
		}
		checkHeader(t, "page", seen[0].Header, header{
			"X-Code": code, "X-Original-Uri": uri, "X-Namespace": "default", "X-Service-Port": "80", "X-Format": "text/html",
		})
		return seen[0]
	}
	accept := [][2]string{{"Accept", "text/html"}}
	seen := page(Step{Method: "POST", Target: "/a?status=404", Body: "hello", Header: accept}, 404, "404", "/a?status=404")
	if seen.Target != "/?status=404" || seen.Body != "" {
		t.Errorf("the page is asked for with %+v", seen)
	}
	// A page that does not know of X-Code does not let in who is denied.
	page(Step{Host: "denied.example", Target: "/a", Header: accept}, 403, "403", "/a")
	e.step(t, Step{Target: "/?status=500", Want: Want{Status: 500, Backend: "web"}})
	seen = page(Step{Host: "empty.example", Method: "POST", Target: "/a", Body: "hello", Header: accept}, 200, "503", "")
	if seen.Target != "/a" || seen.Body != "hello" {
		t.Errorf("the default backend is asked %+v", seen)
	}
}

// Affinity runs the cases of session cookies.
func Affinity(t *testing.T, start Start) {
	for _, mode := range []string{"balanced", "persistent"} {
		t.Run(mode, func(t *testing.T) {
			e := Serve(t, start, Case{
				Backends: []string{"web", "web", "web"},
				Manifest: site{path: "/app", annotations: "affinity: cookie\nsession-cookie-name: S\nsession-cookie-max-age: 60\naffinity-mode: " + mode}.String(),
			})
			a := e.Do(t, Step{Target: "/app"})
			value, attributes, _ := strings.Cut(a.response.Header.Get("Set-Cookie"), ";")
			if !strings.HasPrefix(value, "S=") || attributes != " Max-Age=60; Path=/app; HttpOnly" {
				t.Fatalf("cookie %q; %q", value, attributes)
			}
			at := e.asked(t)
			for range 10 {
				a := e.Do(t, Step{Target: "/app", Header: [][2]string{{"Cookie", value}}})
				if now := e.asked(t); now != at || a.response.Header.Get("Set-Cookie") != "" {
					t.Fatalf("a session of endpoint %d is at %d, Set-Cookie %q", at, now, a.response.Header.Get("Set-Cookie"))
				}
			}
		})
	}
}

// asked returns the number of the backend "web" that was asked since the last call.
func (e *Entry) asked(t testing.TB) int {
	t.Helper()
	at := -1
	for i, b := range e.backends["web"] {
		if len(b.requests()) > 0 {
			at = i
		}
	}
	return at
}
