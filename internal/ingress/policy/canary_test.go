package policy

import (
	"math"
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

// withCanary adds an Ingress "default/next" that is a canary of the site, with the annotations.
func withCanary(t *testing.T, s *site, annotations string) *site {
	t.Helper()
	parsed := parse(t, s.global, "canary: true\n"+annotations)
	s.location.Canary = &route.Canary{
		Ingress: model.Ref{Namespace: "default", Name: "next"}, Settings: parsed, Backend: backend(2, "next", &parsed.Upstream),
	}
	s.pools["next"] = []string{"10.0.1.1:80"}
	return s
}

// share returns how many of n requests go to the canary.
func (s *site) share(n int, request string) int {
	canary := 0
	for range n {
		x := s.request(request)
		s.policy.Admit(x)
		if b := s.policy.Backend(x); b.Key.Service.Name == "next" {
			canary++
		}
		x.End()
	}
	return canary
}

func TestCanary(t *testing.T) {
	const (
		main   = 0
		canary = 100
	)
	cases := []struct {
		name, annotations, fields string
		want                      int // of 100
	}{
		{"nothing is asked for", "", "", main},
		{"weight 0", "canary-weight: 0", "", main},
		{"weight 100", "canary-weight: 100", "", canary},
		{"weight of a larger total", "canary-weight: 1000\ncanary-weight-total: 1000", "", canary},
		{"header always", "canary-by-header: X-Canary", "X-Canary: always", canary},
		{"header never comes before weight", "canary-by-header: X-Canary\ncanary-weight: 100", "X-Canary: never", main},
		{"another value falls through", "canary-by-header: X-Canary\ncanary-weight: 100", "X-Canary: maybe", canary},
		{"without the header", "canary-by-header: X-Canary\ncanary-weight: 100", "", canary},
		{"header value", "canary-by-header: X-Canary\ncanary-by-header-value: yes", "X-Canary: yes", canary},
		{"header value: never is a value like others", "canary-by-header: X-Canary\ncanary-by-header-value: yes\ncanary-weight: 100", "X-Canary: never", canary},
		{"header value: always, too", "canary-by-header: X-Canary\ncanary-by-header-value: yes", "X-Canary: always", main},
		{"header pattern", "canary-by-header: X-Canary\ncanary-by-header-pattern: ^v[0-9]+$", "X-Canary: v2", canary},
		{"header pattern that does not match", "canary-by-header: X-Canary\ncanary-by-header-pattern: ^v[0-9]+$", "X-Canary: x2", main},
		{"value comes before pattern", "canary-by-header: X-Canary\ncanary-by-header-value: a\ncanary-by-header-pattern: b", "X-Canary: b", main},
		{"cookie always", "canary-by-cookie: next", "Cookie: x=never; next=always", canary},
		{"cookie never comes before weight", "canary-by-cookie: next\ncanary-weight: 100", "Cookie: next=never", main},
		{"header comes before cookie", "canary-by-header: X-Canary\ncanary-by-cookie: next", "X-Canary: always\nCookie: next=never", canary},
		{"a header that says nothing leaves it to the cookie", "canary-by-header: X-Canary\ncanary-by-cookie: next", "X-Canary: x\nCookie: next=always", canary},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := withCanary(t, newSite(t, "/", ""), c.annotations)
			if got := s.share(100, "GET http://example.com/\n"+c.fields); got != c.want {
				t.Errorf("%d of 100 go to the canary, want %d", got, c.want)
			}
		})
	}
}

func TestCanaryWeight(t *testing.T) {
	s := withCanary(t, newSite(t, "/", ""), "canary-weight: 30")
	const n = 20000
	if got := float64(s.share(n, "GET http://example.com/")) / n; math.Abs(got-0.3) > 0.02 {
		t.Errorf("share %v", got)
	}
}

func TestCanaryWithoutEndpoints(t *testing.T) {
	s := withCanary(t, newSite(t, "/", ""), "canary-weight: 100")
	s.pools["next"] = nil
	if got := s.share(10, "GET http://example.com/"); got != 0 {
		t.Errorf("%d requests go to a canary without endpoints", got)
	}
}

// visit sends a request with a cookie of the site, and returns where it goes to and the Set-Cookie that it gets.
func (s *site) visit(b *balance.Balancer, cookies string, fail int) (endpoint, setCookie string) {
	s.t.Helper()
	request := "GET https://example.com/"
	if cookies != "" {
		request += "\nCookie: " + cookies
	}
	x := s.request(request)
	defer x.End()
	s.policy.Admit(x)
	to := s.policy.Backend(x)
	group := b.Group(to, s.pools.Pool(to), s.engine.now, s.engine.Await)
	e := s.policy.Pick(x, group)
	for range fail {
		e = s.policy.Pick(x, group)
	}
	r := &message.Response{Status: 200}
	s.policy.Response(x, r)
	if e == nil {
		return "", string(r.Header.Get("Set-Cookie"))
	}
	return e.Addr.String(), string(r.Header.Get("Set-Cookie"))
}

func pairOf(setCookie string) string {
	pair, _, _ := strings.Cut(setCookie, ";")
	return pair
}

func TestAffinity(t *testing.T) {
	for _, mode := range []string{"balanced", "persistent"} {
		t.Run(mode, func(t *testing.T) {
			s := newSite(t, "/", "affinity: cookie\nsession-cookie-name: S\naffinity-mode: "+mode)
			s.pools["web"] = []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"}
			b := balance.New(balance.Config{})
			seen := map[string]bool{}
			for range 100 {
				first, cookie := s.visit(b, "", 0)
				if cookie == "" {
					t.Fatal("no session begins")
				}
				seen[first] = true
				for range 3 {
					if again, set := s.visit(b, "x=y; "+pairOf(cookie), 0); again != first || set != "" {
						t.Fatalf("session %s goes to %s, then to %s, and sets %q", cookie, first, again, set)
					}
				}
			}
			if len(seen) != 4 {
				t.Errorf("sessions at %v only", seen)
			}
			if _, cookie := s.visit(b, "S=forged|x", 0); (cookie == "") != (mode == "balanced") {
				t.Errorf("a key that names no endpoint sets %q", cookie)
			}
		})
	}
}

func TestAffinityOnFailure(t *testing.T) {
	for _, c := range []struct {
		annotations string
		moves       bool
	}{{"", false}, {"session-cookie-change-on-failure: true", true}} {
		s := newSite(t, "/", "affinity: cookie\naffinity-mode: persistent\n"+c.annotations)
		s.pools["web"] = []string{"10.0.0.1:80", "10.0.0.2:80"}
		b := balance.New(balance.Config{})
		first, cookie := s.visit(b, "", 0)
		second, set := s.visit(b, pairOf(cookie), 1)
		if second == first || second == "" {
			t.Errorf("after a failure of %s the request goes to %q", first, second)
		}
		if (set != "") != c.moves {
			t.Errorf("%q: Set-Cookie %q", c.annotations, set)
		}
		if c.moves {
			if now, _ := s.visit(b, pairOf(set), 0); now != second {
				t.Errorf("the session moved to %s, but goes to %s", second, now)
			}
		}
	}
}

func TestAffinityCookie(t *testing.T) {
	const chrome = "Mozilla/5.0 (Windows NT 10.0) Chrome/60.0 Safari/537.36"
	cases := []struct{ annotations, request, want string }{
		{"", "GET http://example.com/", "; Path=/app; HttpOnly"},
		{"", "GET https://example.com/", "; Path=/app; Secure; HttpOnly"},
		{"session-cookie-secure: true", "GET http://example.com/", "; Path=/app; Secure; HttpOnly"},
		{
			"session-cookie-expires: 60\nsession-cookie-max-age: 30\nsession-cookie-domain: example.com\nsession-cookie-path: /x\nsession-cookie-samesite: Lax",
			"GET http://example.com/", "; Expires=Tue, 14-Nov-23 22:14:20 GMT; Max-Age=30; Domain=example.com; Path=/x; HttpOnly; SameSite=Lax",
		},
		{"session-cookie-samesite: None", "GET http://example.com/\nUser-Agent: " + chrome, "; Path=/app; HttpOnly; SameSite=None"},
		{
			"session-cookie-samesite: None\nsession-cookie-conditional-samesite-none: true", "GET http://example.com/\nUser-Agent: " + chrome,
			"; Path=/app; HttpOnly",
		},
	}
	for _, c := range cases {
		s := newSite(t, "/app", "affinity: cookie\n"+c.annotations)
		x := s.request(c.request)
		s.policy.Admit(x)
		pool := s.pools.Pool(s.location.Backend)
		s.policy.Pick(x, balance.New(balance.Config{}).Group(s.location.Backend, pool, s.engine.now, s.engine.Await))
		r := &message.Response{Status: 500}
		s.policy.Response(x, r)
		pair, attributes, _ := strings.Cut(string(r.Header.Get("Set-Cookie")), ";")
		// The second part is what ingress-nginx 1.15 makes of the name "default-web-80".
		if !strings.HasPrefix(pair, "INGRESSCOOKIE=") || !strings.HasSuffix(pair, "|6cde5721ec2c7e2bce07cff7d0e4ac37") || ";"+attributes != c.want {
			t.Errorf("%q: %s;%s, want %s", c.annotations, pair, attributes, c.want)
		}
		x.End()
	}
}

func TestCanaryAndAffinity(t *testing.T) {
	for _, behavior := range []string{"sticky", "legacy"} {
		s := withCanary(t, newSite(t, "/", "affinity: cookie\naffinity-canary-behavior: "+behavior), "canary-weight: 100")
		b := balance.New(balance.Config{})
		at, cookie := s.visit(b, "", 0)
		if at != "10.0.1.1:80" || (cookie == "") != (behavior == "legacy") {
			t.Errorf("%s: %s, %q", behavior, at, cookie)
		}
		s.location.Canary.Settings.Canary.Weight = 0
		s.compiled = false
		again, _ := s.visit(b, pairOf(cookie), 0)
		if want := map[string]string{"sticky": "10.0.1.1:80", "legacy": "10.0.0.1:80"}[behavior]; again != want {
			t.Errorf("%s: a client of the canary goes to %s", behavior, again)
		}
		_, cookie = s.visit(b, "", 0) // of the main backend
		s.location.Canary.Settings.Canary.Weight = 100
		s.compiled = false
		if now, _ := s.visit(b, pairOf(cookie), 0); now != "10.0.0.1:80" {
			t.Errorf("%s: a client of the main backend goes to %s", behavior, now)
		}
	}
}

func TestHashBy(t *testing.T) {
	s := newSite(t, "/", "upstream-hash-by: $arg_user")
	s.pools["web"] = []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"}
	b := balance.New(balance.Config{})
	pool := s.pools.Pool(s.location.Backend)
	seen := map[string]bool{}
	for user := range 50 {
		var first string
		for range 3 {
			x := s.request("GET http://example.com/?user=" + string(rune('A'+user)))
			s.policy.Admit(x)
			e := s.policy.Pick(x, b.Group(s.location.Backend, pool, s.engine.now, s.engine.Await))
			if first == "" {
				first = e.Addr.String()
			}
			if e.Addr.String() != first {
				t.Fatalf("user %d goes to %s and to %s", user, first, e.Addr)
			}
			x.End()
		}
		seen[first] = true
	}
	if len(seen) != 3 {
		t.Errorf("users at %v only", seen)
	}
}
