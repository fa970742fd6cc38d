package policy

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// intercepted returns what an error page is asked with; "": the answer is sent as it is.
func (s *site) intercepted(x *Exchange, status int) string {
	b := s.policy.Intercept(x, status)
	if b == nil {
		return ""
	}
	return lines(append([]string{b.Key.Service.Name}, s.forwarded(x, s.location.Backend)...)...)
}

func TestErrorPages(t *testing.T) {
	s := newSite(t, "/", "custom-http-errors: 403,404,503\nconfiguration-snippet: proxy_set_header X-A a;")
	s.location.Errors = &route.Backend{Key: route.Key{Service: s.location.Ingress, Number: 8080}}
	x := s.request("POST http://example.com/a?b\nAccept: text/html")
	s.policy.Admit(x)
	s.policy.Request(x)
	for _, status := range []int{200, 302, 401, 500} {
		if got := s.intercepted(x, status); got != "" {
			t.Errorf("%d is replaced by %s", status, got)
		}
	}
	want := lines("web", "GET /?b", "set X-Code: 404", "set X-Format: text/html", "set X-Forwarded-For: 192.0.2.1", "set X-Ingress-Name: web",
		"set X-Namespace: default", "set X-Original-URI: /a?b", "set X-Request-ID: id-1", "set X-Service-Name: web", "set X-Service-Port: 80")
	if diff := cmp.Diff(want, s.intercepted(x, 404)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	x.End()

	x = s.request("HEAD http://example.com/a")
	if s.intercepted(x, 503); x.Method != "HEAD" {
		t.Errorf("method %s", x.Method)
	}
}

func TestErrorPagesOfOurAnswers(t *testing.T) {
	page := &route.Backend{}
	s := newSite(t, "/", "custom-http-errors: 403,404\ndenylist-source-range: 192.0.2.1\ndisable-proxy-intercept-errors: true")
	s.location.Errors = page
	x := s.request("GET http://example.com/")
	if s.policy.Admit(x) {
		t.Fatal("admitted")
	}
	if s.policy.Intercept(x, 403) != page {
		t.Error("our own answer is not replaced")
	}
	for page, want := range map[int]int{200: 403, 302: 403, 403: 403, 500: 500} {
		if got := x.PageStatus(403, page); got != want {
			t.Errorf("a page with %d makes %d of 403, want %d", page, got, want)
		}
	}
	x.End()
	x = s.request("GET http://example.com/\nPeer: 198.51.100.1:1")
	if !s.policy.Admit(x) || s.policy.Intercept(x, 404) != nil {
		t.Error("disable-proxy-intercept-errors: a backend's answer is replaced")
	}
	if got := x.PageStatus(404, 200); got != 200 {
		t.Errorf("a page for a backend's answer has status %d", got)
	}
	x.End()

	s = newSite(t, "/", `custom-http-errors: 403`+"\n"+`configuration-snippet: return 403 "text";`)
	s.location.Errors = page
	x = s.request("GET http://example.com/")
	if s.policy.Admit(x); s.policy.Intercept(x, 403) != nil {
		t.Error("an answer with a text is replaced")
	}
}

func TestResponses(t *testing.T) {
	cases := []struct {
		name, annotations string
		change            func(*site)
		request           string
		response          []string
		want              string
	}{
		{
			name: "HSTS on hosts with TLS", change: withTLS, request: "GET https://example.com/", response: []string{"404"},
			want: lines("GET /", "= 404", "Strict-Transport-Security: max-age=31536000; includeSubDomains"),
		},
		{
			name: "HSTS replaces the backend's", change: func(s *site) { withTLS(s); s.global.HSTS.Preload, s.global.HSTS.SubDomains = true, false },
			request: "GET https://example.com/", response: []string{"200", "strict-transport-security: max-age=1"},
			want: lines("GET /", "= 200", "Strict-Transport-Security: max-age=31536000; preload"),
		},
		{
			name: "no HSTS where it is off", change: func(s *site) { withTLS(s); s.global.HSTS.On = false },
			request: "GET https://example.com/", response: []string{"200"}, want: lines("GET /", "= 200"),
		},
		{
			name: "no HSTS over http", change: withTLS, annotations: "ssl-redirect: false",
			request: "GET http://example.com/", response: []string{"200"}, want: lines("GET /", "= 200"),
		},
		{
			name: "add-headers and hide-headers", change: func(s *site) {
				s.global.AddHeaders, s.global.HideHeaders = headerEdits("X-A", "at $host"), []string{"X-Secret"}
			},
			request: "GET http://example.com/", response: []string{"500", "x-secret: 1", "x-a: theirs"}, want: lines("GET /", "= 500", "X-A: at example.com"),
		},
		{
			name: "custom-headers have no variables", change: func(s *site) { s.location.Settings.Headers = headerEdits("X-A", "$host", "Content-Length", "7") },
			request: "GET http://example.com/", response: []string{"200"}, want: lines("GET /", "= 200", "X-A: $host"),
		},
		{
			name: "proxy-redirect", annotations: "proxy-redirect-from: http://inner:8080/\nproxy-redirect-to: https://example.com/app/",
			request: "GET http://example.com/", response: []string{"302", "location: http://inner:8080/x?y", "Refresh: 5; URL=http://inner:8080/z"},
			want: lines("GET /", "= 302", "Refresh: 5; URL=https://example.com/app/z", "location: https://example.com/app/x?y"),
		},
		{
			name: "proxy-redirect of another URL", annotations: "proxy-redirect-from: http://inner/\nproxy-redirect-to: https://example.com/",
			request: "GET http://example.com/", response: []string{"302", "Location: http://other/http://inner/"},
			want: lines("GET /", "= 302", "Location: http://other/http://inner/"),
		},
		{
			name: "proxy-redirect with a pattern", change: func(s *site) {
				p := &s.location.Settings.Proxy
				p.RedirectOff, p.RedirectFrom, p.RedirectTo = false, "~*^http://[a-z]+:(\\d+)(/.*)$", "https://$host/$1$2"
			},
			request: "GET http://example.com/", response: []string{"302", "Location: HTTP://inner:81/x"},
			want: lines("GET /", "= 302", "Location: https://example.com/81/x"),
		},
		{
			name: "proxy-cookie-domain and -path", change: func(s *site) {
				p := &s.location.Settings.Proxy
				p.CookieDomain = replacements("inner.example", "example.com")
				p.CookiePath = replacements("/inner/", "/")
			},
			request: "GET http://example.com/",
			response: []string{
				"200", "Set-Cookie: a=1; Domain=.INNER.example; Path=/inner/x; Secure", "Set-Cookie: path=/inner/; path=/other", "Set-Cookie: b",
			},
			want: lines("GET /", "= 200", "Set-Cookie: a=1; Domain=example.com; Path=/x; Secure", "Set-Cookie: b", "Set-Cookie: path=/inner/; path=/other"),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "/", c.annotations)
			if c.change != nil {
				c.change(s)
			}
			if diff := cmp.Diff(c.want, s.outcome(c.request, c.response...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzSetCookie: a cookie that is changed keeps its name, its value and all attributes but Domain and Path.
func FuzzSetCookie(f *testing.F) {
	f.Add("a=1; Domain=inner.example; Path=/inner/x; Secure")
	f.Add(";;=;path=/inner/")
	f.Add("")
	s := &site{}
	f.Fuzz(func(t *testing.T, value string) {
		*s = *newSite(t, "/", "")
		p := &s.location.Settings.Proxy
		p.CookieDomain, p.CookiePath = replacements("inner.example", "x.example"), replacements("/inner/", "/")
		x := s.request("GET http://example.com/")
		r := &message.Response{Status: 200, Header: message.Header{{Name: []byte("Set-Cookie"), Value: []byte(value)}}}
		s.policy.Response(x, r)
		before, after := value, string(r.Header[0].Value)
		for before != "" || after != "" {
			var a, b []byte
			a, b = head(&before), head(&after)
			name, _ := cutByte(a, '=')
			if isDomainOrPath(trimSpace(name)) {
				continue
			}
			if string(a) != string(b) {
				t.Fatalf("%q became %q", value, r.Header[0].Value)
			}
		}
	})
}

func isDomainOrPath(name []byte) bool {
	return message.Equal(name, "domain") || message.Equal(name, "path")
}

func head(text *string) []byte {
	part, rest := cutByte([]byte(*text), ';')
	*text = string(rest)
	return part
}

func TestDefaultBackendWithoutEndpoints(t *testing.T) {
	s := newSite(t, "/", "default-backend: errors")
	s.location.Errors = backend(3, "errors", &s.location.Settings.Upstream)
	if got := s.outcome("POST http://example.com/a?b"); got != "POST /a?b" {
		t.Errorf("with endpoints: %s", got)
	}
	s.pools["web"] = nil
	want := lines("POST /a?b", "to errors", "set X-Code: 503", "set X-Format: x", "set X-Ingress-Name: web", "set X-Namespace: default",
		"set X-Request-ID: id-1", "set X-Service-Name: web", "set X-Service-Port: 80")
	if diff := cmp.Diff(want, s.outcome("POST http://example.com/a?b\nAccept: x")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// BenchmarkTLSHost is what a location of a host with TLS pays for the redirect and for HSTS.
func BenchmarkTLSHost(b *testing.B) {
	global := settings.Default()
	l := &route.Location{Path: "/", Settings: &global.Defaults, Backend: backend(1, "web", &global.Defaults.Upstream)}
	h := &route.Host{Name: "example.com", HasTLS: true, Locations: []*route.Location{l}}
	e := NewEntry(global, NewState(nil), Ports{})
	p := e.Compile(h, l)
	request := &message.Request{Method: "GET", TLS: &message.TLS{}, Peer: netip.MustParseAddrPort("192.0.2.1:1")}
	response := &message.Response{Status: 200, Header: make(message.Header, 0, 8)}
	x := &Exchange{}
	b.ReportAllocs()
	for b.Loop() {
		x.Request, x.Host, x.Location = request, h, l
		request.Client = netip.AddrPort{}
		e.Begin(x)
		if !p.Admit(x) {
			b.Fatal("not admitted")
		}
		p.Request(x)
		response.Header = response.Header[:0]
		p.Response(x, response)
		x.End()
	}
}
