package policy

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRewrite(t *testing.T) {
	cases := []struct{ name, path, annotations, request, want string }{ // a target with a query comes from no annotation, as they may not have one
		{"everything becomes the target", "/app", "rewrite-target: /", "GET http://example.com/app/a/b", "GET /"},
		{"captures", "/app(/|$)(.*)", "rewrite-target: /$2", "GET http://example.com/app/a/b", "GET /a/b"},
		{"captures that match nothing", "/app(/|$)(.*)", "rewrite-target: /$2", "GET http://example.com/app", "GET /"},
		{"without regard to case", "/app(/|$)(.*)", "rewrite-target: /$2", "GET http://example.com/APP/A", "GET /A"},
		{"the query stays", "/app/(.*)", "rewrite-target: /$1", "GET http://example.com/app/a?b=c&d", "GET /a?b=c&d"},
		{"a query of the target comes first", "/app/(.*)", "rewrite-target: /api?path=$1", "GET http://example.com/app/a?b=c", "GET /api?path=a&b=c"},
		{"a question mark at the end drops the query", "/app/(.*)", "rewrite-target: /$1?", "GET http://example.com/app/a?b=c", "GET /a"},
		{"the path is escaped anew", "/app/(.*)", "rewrite-target: /$1", "GET http://example.com/app/a%20b%3fc%25", "GET /a%20b%3Fc%25"},
		{"a capture stays in its argument", "/app/(.*)", "rewrite-target: /?p=$1", "GET http://example.com/app/a%26b", "GET /?p=a%26b"},
		{"two digits are one and a digit", "/(a)(.*)", "rewrite-target: /$10", "GET http://example.com/ax", "GET /a0"},
		{"the prefix is told", "/app/(.*)", "rewrite-target: /$1\nx-forwarded-prefix: /app", "GET http://example.com/app/a", "GET /a\nset X-Forwarded-Prefix: /app"},
		{"a target equal to the path is none", "/app", "rewrite-target: /app", "GET http://example.com/app/a", "GET /app/a"},
		{"upstream-vhost", "/", "upstream-vhost: inner.example", "GET http://example.com/", "GET /\nhost inner.example"},
		{"upstream-vhost with a variable", "/", "upstream-vhost: x.$host", "GET http://example.com/", "GET /\nhost x.example.com"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			annotations, target, query := c.annotations, "", false
			if query = strings.Contains(c.annotations, "?"); query {
				annotations, target = "rewrite-target: /x", strings.TrimPrefix(c.annotations, "rewrite-target: ")
			}
			s := newSite(t, c.path, annotations)
			if query {
				s.location.Settings.Rewrite.Target = target
			}
			if diff := cmp.Diff(c.want, s.outcome(c.request)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequestHeadersOfTheEntry(t *testing.T) {
	s := newSite(t, "/", "configuration-snippet: proxy_set_header X-B own;")
	s.global.SetHeaders = headerEdits("X-A", "for $host", "X-B", "of all", "Connection", "close", "X-C", "$nope")
	want := lines("GET /", "set X-A: for example.com", "set X-B: own")
	if diff := cmp.Diff(want, s.outcome("GET http://example.com/")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzRewrite: whatever path and query a client sends, the request-target that goes on begins with a slash, has no byte that ends it,
// and its path decodes to what the pattern has captured.
func FuzzRewrite(f *testing.F) {
	f.Add("/app/a/b", "q=1")
	f.Add("/app/\r\nHost: x", "a b")
	f.Add("/app/%0d%0a", "#")
	f.Add("/app/é?x", "a&b=\x00")
	f.Fuzz(func(t *testing.T, path, query string) {
		for _, target := range []string{"/$1", "/x?p=$1", "$1", "/$1?"} {
			s := newSite(t, "/app/(.*)", "rewrite-target: /placeholder")
			s.location.Settings.Rewrite.Target = target
			x := s.request("GET http://example.com/")
			x.Request.Path = path
			x.Request.Query = cleanQuery(query)
			if !s.policy.Admit(x) {
				t.Fatalf("not admitted: %+v", x.Answer)
			}
			s.policy.Request(x)
			if x.Target == nil {
				continue
			}
			got := string(x.Target)
			if !strings.HasPrefix(got, "/") {
				t.Fatalf("target %q", got)
			}
			for i := range len(got) {
				if c := got[i]; c <= ' ' || c >= 0x7f || c == '#' {
					t.Fatalf("target %q has byte %q", got, c)
				}
			}
			if target == "/$1" {
				m := s.location.Pattern.FindStringSubmatch(path)
				encoded, _, _ := strings.Cut(got, "?")
				if decoded, err := url.PathUnescape(encoded); err != nil || decoded != "/"+m[1] {
					t.Fatalf("path %q became %q, which is %q", path, got, decoded)
				}
			}
		}
	})
}

// cleanQuery is the bytes that a parsed request may have in its query.
func cleanQuery(query string) []byte {
	var out []byte
	for i := range len(query) {
		if c := query[i]; c > ' ' && c < 0x7f && c != '#' {
			out = append(out, c)
		}
	}
	return out
}
