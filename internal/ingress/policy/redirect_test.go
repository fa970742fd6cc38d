package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

// redirectCase is a request to a site that the annotations and change make.
type redirectCase struct {
	name, path, annotations string
	change                  func(*site)
	request, want           string
}

func runRedirects(t *testing.T, cases []redirectCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c.path, c.annotations)
			if c.change != nil {
				c.change(s)
			}
			if diff := cmp.Diff(c.want, s.outcome(c.request)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRedirectToTLS(t *testing.T) {
	runRedirects(t, []redirectCase{
		{name: "a plain route has no policy", path: "/", request: "GET http://example.com/a", want: "GET /a"},
		{
			name: "http goes to https where the host has a certificate", path: "/", change: withTLS,
			request: "GET http://example.com/a?b=c", want: lines("= 308", "Location: https://example.com/a?b=c"),
		},
		{
			name: "without the slash at the end", path: "/", change: withTLS,
			request: "GET http://example.com/a/", want: lines("= 308", "Location: https://example.com/a"),
		},
		{
			name: "with it by preserve-trailing-slash", path: "/", change: withTLS, annotations: "preserve-trailing-slash: true",
			request: "GET http://example.com/a/", want: lines("= 308", "Location: https://example.com/a/"),
		},
		{
			name: "the port is left out", path: "/", change: withTLS,
			request: "GET http://example.com:80/a", want: lines("= 308", "Location: https://example.com/a"),
		},
		{
			name: "use-port-in-redirects names it", path: "/", change: withTLS, annotations: "use-port-in-redirects: true",
			request: "GET http://example.com/a", want: lines("= 308", "Location: https://example.com:443/a"),
		},
		{
			name: "not by ssl-redirect false", path: "/", change: withTLS, annotations: "ssl-redirect: false",
			request: "GET http://example.com/a", want: "GET /a",
		},
		{
			name: "not where the host has no certificate", path: "/", annotations: "ssl-redirect: true",
			request: "GET http://example.com/a", want: "GET /a",
		},
		{
			name: "but by force-ssl-redirect", path: "/", annotations: "force-ssl-redirect: true",
			request: "GET http://example.com/a", want: lines("= 308", "Location: https://example.com/a"),
		},
		{
			name: "https does not", path: "/", change: withTLS, request: "GET https://example.com/a",
			want: "GET /a",
		},
		{
			name: "X-Forwarded-Proto is not believed", path: "/", annotations: "force-ssl-redirect: true",
			request: "GET http://example.com/a\nX-Forwarded-Proto: https", want: lines("= 308", "Location: https://example.com/a"),
		},
		{
			name: "X-Forwarded-Proto is believed with use-forwarded-headers", path: "/", annotations: "force-ssl-redirect: true",
			change:  func(s *site) { s.global.RealIP.ForwardedHeaders = true },
			request: "GET http://example.com/a\nX-Forwarded-Proto: https", want: "GET /a",
		},
		{
			name: "not for ACME challenges", path: "/.well-known/acme-challenge/x", annotations: "force-ssl-redirect: true",
			request: "GET http://example.com/.well-known/acme-challenge/x", want: "GET /.well-known/acme-challenge/x",
		},
		{
			name: "http-redirect-code", path: "/",
			change:  func(s *site) { withTLS(s); s.location.Settings.Redirect.TLSCode = 301 },
			request: "HEAD http://example.com/a", want: lines("= 301", "Location: https://example.com/a"),
		},
	})
}

func TestRedirect(t *testing.T) {
	runRedirects(t, []redirectCase{
		{
			name: "permanent-redirect", path: "/", annotations: "permanent-redirect: https://other.example/new",
			request: "GET http://example.com/a", want: lines("= 301", "Location: https://other.example/new"),
		},
		{
			name: "temporal-redirect wins", path: "/",
			annotations: "temporal-redirect: https://temporary.example",
			request:     "GET http://example.com/a", want: lines("= 302", "Location: https://temporary.example"),
		},
		{
			name: "a redirect comes before the one to https, and before the deny list", path: "/", change: withTLS,
			annotations: "permanent-redirect: https://other.example\npermanent-redirect-code: 308\ndenylist-source-range: 192.0.2.0/24",
			request:     "GET http://example.com/a", want: lines("= 308", "Location: https://other.example"),
		},
		{
			name: "app-root", path: "/", annotations: "app-root: /login",
			request: "GET http://example.com:8080/", want: lines("= 302", "Location: http://example.com:8080/login"),
		},
		{
			name: "app-root is for exactly /", path: "/", annotations: "app-root: /login",
			request: "GET http://example.com/a", want: "GET /a",
		},
		{
			name: "app-root comes before the redirect to https", path: "/", change: withTLS, annotations: "app-root: /login",
			request: "GET http://example.com/", want: lines("= 302", "Location: http://example.com/login"),
		},
		{
			name: "from-to-www-redirect", path: "/", change: func(s *site) { s.host.WWW = "www.example.com" },
			request: "GET https://example.com/a/?b", want: lines("= 308", "Location: https://www.example.com/a/?b"),
		},
		{
			name: "nginx's redirect to the path with a slash", path: "/my path", change: func(s *site) { s.location.Match = route.MatchSlash },
			request: "GET http://example.com/my%20path?q=1", want: lines("= 301", "Location: http://example.com/my%20path/?q=1"),
		},
		{
			name: "relative-redirects", path: "/a", annotations: "relative-redirects: true",
			change:  func(s *site) { s.location.Match = route.MatchSlash },
			request: "GET http://example.com/a", want: lines("= 301", "Location: /a/"),
		},
		{
			name: "a location that is denied", path: "/", change: func(s *site) { withTLS(s); s.location.Denied = "no Secret" },
			request: "GET http://example.com/a", want: "= 503",
		},
	})
}

func withTLS(s *site) { s.host.HasTLS = true }

func TestPlainRoutesHaveNoPolicy(t *testing.T) {
	s := newSite(t, "/", "")
	s.request("GET http://example.com/")
	if s.policy != nil {
		t.Errorf("a location without annotations has a policy: %+v", s.policy)
	}
	// All phases of a nil Policy work, and cost nothing.
	x := s.request("GET http://example.com/")
	r := &message.Response{Status: 200}
	allocated := testing.AllocsPerRun(100, func() {
		if !s.policy.Admit(x) || s.policy.Backend(x) != s.location.Backend || s.policy.Intercept(x, 500) != nil {
			t.Fatal("a nil Policy decides something")
		}
		s.policy.Request(x)
		s.policy.Response(x, r)
	})
	if allocated != 0 || len(r.Header) != 0 {
		t.Errorf("%v allocations, response %v", allocated, r.Header)
	}
}
