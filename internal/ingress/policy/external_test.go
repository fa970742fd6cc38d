package policy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// authServer is a real server that records what it is asked, and answers as its fields say.
type authServer struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	header http.Header
	asked  []string
}

func newAuthServer(t *testing.T) *authServer {
	s := &authServer{status: 200, header: http.Header{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		out := []string{r.Method + " " + r.RequestURI, "Host: " + r.Host}
		for name, values := range r.Header {
			out = append(out, name+": "+strings.Join(values, ", "))
		}
		slices.Sort(out[1:])
		s.asked = append(s.asked, strings.Join(out, "\n"))
		for name, values := range s.header {
			w.Header()[name] = values
		}
		w.WriteHeader(s.status)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *authServer) answers(status int, fields ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.header = status, http.Header{}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		s.header.Add(name, value)
	}
}

func (s *authServer) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[len(s.asked)-1]
}

func TestExternalAuthAnswers(t *testing.T) {
	server := newAuthServer(t)
	annotations := "auth-url: " + server.URL + "/check\nauth-response-headers: X-User, X-Groups"
	in := lines("GET /a", "set X-Groups: ", "set X-User: alice")
	cases := []struct {
		name, annotations string
		status            int
		fields            []string
		want              string
	}{
		{"2xx lets in, with headers; those that are not in the answer are removed", "", 202, []string{"X-User: alice"}, in},
		{"401", "", 401, []string{"WWW-Authenticate: Bearer"}, lines("= 401", "WWW-Authenticate: Bearer")},
		{"403", "", 403, nil, "= 403"},
		{"anything else is 500", "", 302, []string{"Location: /"}, "= 500"},
		{"an error is 500", "", 503, nil, "= 500"},
		{
			"401 with a page to sign in", "auth-signin: https://login.example/start", 401,
			[]string{"Set-Cookie: a=b"},
			lines("= 302", "Location: https://login.example/start?rd=http://example.com%2Fa", "Set-Cookie: a=b"),
		},
		{
			"with a query", "auth-signin: https://login.example/start?x=1\nauth-signin-redirect-param: back", 401, nil,
			lines("= 302", "Location: https://login.example/start?x=1&back=http://example.com%2Fa"),
		},
		{
			"with the parameter", "auth-signin: https://login.example/start?rd=$escaped_request_uri", 401, nil,
			lines("= 302", "Location: https://login.example/start?rd=%2Fa"),
		},
		{"403 is not sent to sign in", "auth-signin: https://login.example/start", 403, nil, "= 403"},
		{"a cookie does not go with an error", "", 403, []string{"Set-Cookie: a=b"}, "= 403"},
		{"but by auth-always-set-cookie", "auth-always-set-cookie: true", 403, []string{"Set-Cookie: a=b"}, lines("= 403", "Set-Cookie: a=b")},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "/", annotations+"\n"+c.annotations)
			server.answers(c.status, c.fields...)
			if diff := cmp.Diff(c.want, s.outcome("GET http://example.com/a\nX-Groups: admin")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestExternalAuthCookies(t *testing.T) {
	server := newAuthServer(t)
	server.answers(200, "Set-Cookie: a=1", "Set-Cookie: b=2")
	s := newSite(t, "/", "auth-url: "+server.URL)
	want := lines("GET /", "= 200", "Set-Cookie: a=1", "Set-Cookie: b=2", "Set-Cookie: c=3")
	if diff := cmp.Diff(want, s.outcome("GET http://example.com/", "200", "Set-Cookie: c=3")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(lines("GET /", "= 404"), s.outcome("GET http://example.com/", "404")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExternalAuthQuestion(t *testing.T) {
	server := newAuthServer(t)
	host := "Host: " + strings.Split(strings.TrimPrefix(server.URL, "http://"), ":")[0]
	s := newSite(t, "/", "auth-url: "+server.URL+"/check?u=$arg_u")
	s.outcome("POST https://example.com/a?u=7\nCookie: c=d\nContent-Length: 9\nTransfer-Encoding: chunked\nConnection: close\n" +
		"X-Forwarded-Proto: gopher\nX-Forwarded-For: 6.6.6.6\nX-Forwarded-Host: evil\nSsl-Client-Verify: SUCCESS\nX-Original-Method: GET")
	want := lines("GET /check?u=7", "Cookie: c=d", host, "X-Auth-Request-Redirect: /a?u=7", "X-Forwarded-For: 192.0.2.1",
		"X-Original-Method: POST", "X-Original-Url: https://example.com/a?u=7", "X-Real-Ip: 192.0.2.1", "X-Request-Id: id-1",
		"X-Sent-From: nginx-ingress-controller")
	if diff := cmp.Diff(sorted(want), sorted(server.last())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	s = newSite(t, "/", "auth-url: "+server.URL+"\nauth-method: PUT\nauth-request-redirect: https://x.example/\n"+
		`auth-snippet: proxy_set_header X-Snippet "$request_method"; proxy_set_header X-Real-IP "";`)
	s.location.Settings.Auth.SetHeaders = headerEdits("X-Set", "$host", "Content-Length", "5")
	s.outcome("GET http://example.com/a")
	want = lines("PUT /", host, "Content-Length: 0", "X-Auth-Request-Redirect: https://x.example/", "X-Forwarded-For: 192.0.2.1", "X-Original-Method: GET",
		"X-Original-Uri: /a", "X-Original-Url: http://example.com/a", "X-Request-Id: id-1", "X-Scheme: http",
		"X-Sent-From: nginx-ingress-controller", "X-Set: example.com", "X-Snippet: GET")
	if diff := cmp.Diff(sorted(want), sorted(server.last())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func sorted(text string) []string {
	list := strings.Split(text, "\n")
	slices.Sort(list)
	return list
}

func TestExternalAuthFailsClosed(t *testing.T) {
	server := newAuthServer(t)
	url := server.URL
	server.Close()
	for _, annotations := range []string{"auth-url: " + url, "auth-url: http://127.0.0.1:1/$arg_x"} {
		s := newSite(t, "/", annotations)
		if got := s.outcome("GET http://example.com/?x=%%"); got != "= 500" {
			t.Errorf("%s: %s", annotations, got)
		}
	}
	s := newSite(t, "/.well-known/acme-challenge/x", "auth-url: "+url)
	if got := s.outcome("GET http://example.com/.well-known/acme-challenge/x"); got != "GET /.well-known/acme-challenge/x" {
		t.Errorf("no-auth-locations: %s", got)
	}
}

func TestExternalAuthCache(t *testing.T) {
	server := newAuthServer(t)
	s := newSite(t, "/", "auth-url: "+server.URL+"\nauth-cache-key: $cookie_session\nauth-cache-duration: 200 2m, 401 30s\nauth-response-headers: X-User")
	count := func() int {
		server.mu.Lock()
		defer server.mu.Unlock()
		return len(server.asked)
	}
	ask := func(session, want string, questions int) {
		t.Helper()
		before := count()
		if got := s.outcome("GET http://example.com/\nCookie: session=" + session); got != want {
			t.Errorf("session %s: %s, want %s", session, got, want)
		}
		if got := count() - before; got != questions {
			t.Errorf("session %s: %d questions, want %d", session, got, questions)
		}
	}
	server.answers(200, "X-User: alice")
	ask("a", "GET /\nset X-User: alice", 1)
	server.answers(401)
	ask("a", "GET /\nset X-User: alice", 0)
	ask("b", "= 401", 1)
	ask("b", "= 401", 0)
	s.engine.now = s.engine.now.Add(31 * time.Second)
	ask("b", "= 401", 1)
	ask("a", "GET /\nset X-User: alice", 0)
	s.engine.now = s.engine.now.Add(2 * time.Minute)
	ask("a", "= 401", 1)
	for i, field := range []string{"Cache-Control: no-store", "Set-Cookie: a=b", "Vary: Cookie", "Cache-Control: max-age=0"} {
		server.answers(200, field)
		session := fmt.Sprint("uncached", i)
		ask(session, "GET /\nset X-User: ", 1)
		ask(session, "GET /\nset X-User: ", 1)
	}
	server.answers(500)
	ask("c", "= 500", 1)
	ask("c", "= 500", 1)
}

func TestGlobalAuth(t *testing.T) {
	server := newAuthServer(t)
	server.answers(403)
	s := newSite(t, "/", "auth-url: "+server.URL)
	global := s.location.Settings.Auth
	s = newSite(t, "/", "")
	s.global.Auth = global
	if got := s.outcome("GET http://example.com/"); got != "= 403" {
		t.Errorf("global-auth-url: %s", got)
	}
	s = newSite(t, "/", "enable-global-auth: false")
	s.global.Auth = global
	if got := s.outcome("GET http://example.com/"); got != "GET /" {
		t.Errorf("enable-global-auth false: %s", got)
	}
}

func TestMirror(t *testing.T) {
	server := newAuthServer(t)
	s := newSite(t, "/", "mirror-target: "+server.URL+"/copy$request_uri\nmirror-host: copy.example")
	s.engine.body = []byte("hello")
	x := s.request("POST http://example.com/a?b\nX-A: 1\nAuthorization: Basic x")
	x.Request.Length = 5
	if !s.policy.Admit(x) {
		t.Fatalf("%+v", x.Answer)
	}
	want := lines("POST /copy/a?b", "Host: copy.example", "Authorization: Basic x", "Content-Length: 5", "X-A: 1")
	if diff := cmp.Diff(sorted(want), sorted(server.last())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := s.state.mirrors.Load(); n != 0 {
		t.Errorf("%d copies under way", n)
	}
	// A mirror that is not there changes nothing.
	server.Close()
	if got := s.outcome("GET http://example.com/a"); got != "GET /a" {
		t.Errorf("got %s", got)
	}
	// Who is not let in is not mirrored.
	denied := newSite(t, "/", "mirror-target: "+server.URL+"\ndenylist-source-range: 192.0.2.1")
	if got := denied.outcome("GET http://example.com/a"); got != "= 403" {
		t.Errorf("got %s", got)
	}
}
