package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

func TestCORS(t *testing.T) {
	const fields = `Access-Control-Allow-Credentials: true
Access-Control-Allow-Headers: DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization
Access-Control-Allow-Methods: GET, PUT, POST, DELETE, PATCH, OPTIONS
`
	cases := []struct {
		name, annotations, request string
		response                   []string
		want                       string
	}{
		{
			name: "all origins", annotations: "enable-cors: true",
			request: "GET http://example.com/a\nOrigin: https://any.example", response: []string{"200"},
			want: "GET /a\n= 200\n" + fields + "Access-Control-Allow-Origin: *\nAccess-Control-Max-Age: 1728000",
		},
		{
			name: "a listed origin is echoed", annotations: "enable-cors: true\ncors-allow-origin: https://a.example, https://b.example:8443",
			request: "GET http://example.com/a\nOrigin: https://b.example:8443", response: []string{"404"},
			want: "GET /a\n= 404\n" + fields + "Access-Control-Allow-Origin: https://b.example:8443\nAccess-Control-Max-Age: 1728000",
		},
		{
			name: "another origin gets nothing", annotations: "enable-cors: true\ncors-allow-origin: https://a.example",
			request: "GET http://example.com/a\nOrigin: https://a.example.evil.example", response: []string{"200"},
			want: "GET /a\n= 200",
		},
		{
			name: "the backend's own fields are replaced", annotations: "enable-cors: true\ncors-allow-origin: https://a.example",
			request:  "GET http://example.com/a\nOrigin: https://a.example",
			response: []string{"200", "Access-Control-Allow-Origin: *", "access-control-max-age: 5"},
			want:     "GET /a\n= 200\n" + fields + "Access-Control-Allow-Origin: https://a.example\nAccess-Control-Max-Age: 1728000",
		},
		{
			name: "a preflight is answered, before the deny list and without asking for a password",
			annotations: "enable-cors: true\ndenylist-source-range: 192.0.2.0/24\ncors-allow-methods: GET\ncors-allow-headers: X-A\n" +
				"cors-allow-credentials: false\ncors-expose-headers: X-B\ncors-max-age: 60",
			request: "OPTIONS http://example.com/any/path\nOrigin: https://any.example",
			want: lines("= 204", "Access-Control-Allow-Headers: X-A", "Access-Control-Allow-Methods: GET", "Access-Control-Allow-Origin: *",
				"Access-Control-Expose-Headers: X-B", "Access-Control-Max-Age: 60", "Content-Type: text/plain charset=UTF-8"),
		},
		{
			name: "OPTIONS of another origin is the backend's", annotations: "enable-cors: true\ncors-allow-origin: https://a.example",
			request: "OPTIONS http://example.com/a\nOrigin: https://b.example", want: "OPTIONS /a",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "/", c.annotations)
			if diff := cmp.Diff(c.want, s.outcome(c.request, c.response...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOrigins(t *testing.T) {
	cases := []struct {
		allowed, origin string
		want            bool
	}{
		{"https://*.example.com", "https://a.example.com", true},
		{"https://*.example.com", "https://A.EXAMPLE.com", true},
		{"https://*.example.com", "https://a.b.example.com", false}, // one label, as in ingress-nginx
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "http://a.example.com", false},
		{"https://*.example.com", "https://a.example.com:8443", false},
		{"https://*.example.com:8443", "https://a.example.com:8443", true},
		{"https://*.example.com", "https://evil.com/.example.com", false},
		{"https://*.example.com", "https://a.example.com.evil.com", false},
		{"https://*.example.com", "https://.example.com", false},
		{"https://a.example.com", "https://b.example.com", false},
		{"https://a.example.com", "https://a.example.com:443", false},
		{"app://localhost", "app://localhost", true},
		{"null", "null", true},
		{"https://a.example.com", "null", false},
		{"https://a.example.com", "", false},
	}
	for _, c := range cases {
		s := newSite(t, "/", "enable-cors: true\ncors-allow-origin: "+c.allowed)
		x := s.request("GET http://example.com/\nOrigin: " + c.origin)
		if c.origin == "" {
			x.Request.Header = nil
		}
		if got := newCORS(s.location.Settings.CORS).allowed(x) != nil; got != c.want {
			t.Errorf("%s allows %q: %v", c.allowed, c.origin, got)
		}
	}
}

// FuzzOrigin holds matching against what must be true of any origin that is allowed: its scheme and the end of its host are those of
// the setting.
func FuzzOrigin(f *testing.F) {
	f.Add("https://a.example.com")
	f.Add("https://a.b.example.com:80")
	f.Add("null")
	f.Add("https://evil://a.example.com")
	list := []settings.Origin{{Scheme: "https", Host: "example.com", Wildcard: true}, {Scheme: "http", Host: "b.example:81"}}
	f.Fuzz(func(t *testing.T, origin string) {
		for i := range list {
			if !matchesOrigin(&list[i], []byte(origin)) {
				continue
			}
			lowered := []byte(origin)
			for j := range lowered {
				lowered[j] = lower(lowered[j])
			}
			switch got := string(lowered); {
			case i == 1 && got == "http://b.example:81":
			case i == 0 && len(got) > len("https://.example.com") && got[:8] == "https://" && got[len(got)-12:] == ".example.com" &&
				isLabel([]byte(got[8:len(got)-12])):
			default:
				t.Fatalf("%q is allowed by %+v", origin, list[i])
			}
		}
	})
}
