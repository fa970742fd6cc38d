package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

func headerEdits(pairs ...string) []settings.HeaderEdit {
	var out []settings.HeaderEdit
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, settings.HeaderEdit{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

func TestSnippet(t *testing.T) {
	cases := []struct {
		name, snippet, request string
		response               []string
		want                   string
	}{
		{"proxy_set_header", `proxy_set_header X-Real "$remote_addr";`, "GET http://example.com/", nil, "GET /\nset X-Real: 192.0.2.1"},
		{"an empty value removes", `proxy_set_header Accept-Encoding "";`, "GET http://example.com/", nil, "GET /\nset Accept-Encoding: "},
		{"Host", `proxy_set_header Host "$http_x_host";`, "GET http://example.com/\nX-Host: inner", nil, "GET /\nhost inner"},
		{
			"the connection is the engine's", `proxy_set_header Connection "upgrade"; proxy_set_header Upgrade $http_upgrade; proxy_set_header Transfer-Encoding chunked;`,
			"GET http://example.com/", nil, "GET /",
		},
		{
			"add_header adds to some statuses", "add_header X-A a; add_header X-B b always;", "GET http://example.com/",
			[]string{"404", "X-A: theirs"},
			"GET /\n= 404\nX-A: theirs\nX-B: b",
		},
		{
			"add_header keeps the backend's", "add_header X-A a;", "GET http://example.com/",
			[]string{"200", "X-A: theirs"},
			"GET /\n= 200\nX-A: a\nX-A: theirs",
		},
		{
			"more_set_headers replaces on all", `more_set_headers "X-A: $request_id";`, "GET http://example.com/",
			[]string{"500", "x-a: theirs"},
			"GET /\n= 500\nX-A: id-1",
		},
		{
			"more_clear_headers", `more_clear_headers Server "X-Powered-By";`, "GET http://example.com/",
			[]string{"200", "server: a", "x-powered-by: b", "X-Kept: c"},
			"GET /\n= 200\nX-Kept: c",
		},
		{"proxy_hide_header", "proxy_hide_header X-A;", "GET http://example.com/", []string{"200", "X-A: a"}, "GET /\n= 200"},
		{
			"more_set_input_headers changes the request", `more_set_input_headers "X-In: a"; proxy_set_header X-Out $http_x_in;`,
			"GET http://example.com/\nX-In: theirs", nil, "GET /\nset X-Out: a",
		},
		{"proxy_method", "proxy_method POST;", "GET http://example.com/", nil, "POST /"},
		{"return with a text", `return 403 "no";`, "GET http://example.com/", nil, lines("= 403", "Content-Type: text/plain", "no")},
		{"return with a code", "return 410;", "GET http://example.com/", nil, "= 410"},
		{"return of a redirect", "return 301 https://$host.new$request_uri;", "GET http://example.com/a?b", nil, lines("= 301", "Location: https://example.com.new/a?b")},
		{"return of a path is absolute", "return 302 /new;", "GET http://example.com/a", nil, lines("= 302", "Location: http://example.com/new")},
		{"return of a URL", "return https://a.example/;", "GET http://example.com/a", nil, lines("= 302", "Location: https://a.example/")},
		{"if set", "if ($http_x_a) { return 403; }", "GET http://example.com/\nX-A: 1", nil, "= 403"},
		{"if not set", "if ($http_x_a) { return 403; }", "GET http://example.com/", nil, "GET /"},
		{"if zero", "if ($http_x_a) { return 403; }", "GET http://example.com/\nX-A: 0", nil, "GET /"},
		{"if equal", `if ($request_method = POST) { return 405; }`, "POST http://example.com/", nil, "= 405"},
		{"if unequal", `if ($request_method != POST) { return 405; }`, "POST http://example.com/", nil, "POST /"},
		{"if it matches, with a capture", `if ($request_uri ~ "^/old/(.*)$") { return 301 https://new.example/$1; }`, "GET http://example.com/old/x", nil, lines("= 301", "Location: https://new.example/x")},
		{"if it does not match", `if ($http_user_agent !~* curl) { return 403; }`, "GET http://example.com/\nUser-Agent: CURL/8", nil, "GET /"},
		{
			"set and if in order", "set $a 0; if ($arg_x) { set $a 1; } if ($a) { set $b $a$arg_x; add_header X-B $b; }",
			"GET http://example.com/?x=7",
			[]string{"200"},
			"GET /?x=7\n= 200\nX-B: 17",
		},
		{
			"a block is entered once for all its directives", "set $a 1; if ($a = 1) { set $a 2; add_header X-A $a; }",
			"GET http://example.com/",
			[]string{"200"},
			"GET /\n= 200\nX-A: 2",
		},
		{"values of the response", `add_header X-S "$status $sent_http_x_a $upstream_http_x_a";`, "GET http://example.com/", []string{"201", "X-A: z"}, "GET /\n= 201\nX-A: z\nX-S: 201 z z"},
		{"cookies and arguments", `proxy_set_header X-V "$cookie_a,$arg_b,$args";`, "GET http://example.com/?b=1&c=2\nCookie: x=0; a=5", nil, "GET /?b=1&c=2\nset X-V: 5,1,b=1&c=2"},
		{"forwarded for", "proxy_set_header X-F $proxy_add_x_forwarded_for;", "GET http://example.com/\nX-Forwarded-For: 1.1.1.1", nil, "GET /\nset X-F: 1.1.1.1, 192.0.2.1"},
		{
			"of the location", `proxy_set_header X-L "$namespace/$ingress_name $service_name:$service_port $location_path $proxy_upstream_name";`,
			"GET http://example.com/", nil, "GET /\nset X-L: default/web web:80 / default-web-80",
		},
		{"escaped", "return 302 https://a.example/?u=$escaped_request_uri;", "GET http://example.com/a?b=c d", nil, lines("= 302", "Location: https://a.example/?u=%2Fa%3Fb%3Dc%20d")},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "/", "configuration-snippet: "+c.snippet)
			if diff := cmp.Diff(c.want, s.outcome(c.request, c.response...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestServerSnippet(t *testing.T) {
	s := newSite(t, "/", "server-snippet: if ($http_x_a) { return 403; } add_header X-S 1; set $v 5; proxy_set_header X-No no; add_header X-V $v;")
	for request, want := range map[string]string{
		"GET http://example.com/\nX-A: 1": "= 403",
		"GET http://example.com/":         lines("GET /", "= 200", "X-S: 1", "X-V: 5"),
	} {
		response := []string{"200"}
		if want == "= 403" {
			response = nil
		}
		if diff := cmp.Diff(want, s.outcome(request, response...)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// FuzzExpansion: no value that variables take from a request can add a line or a NUL to a head, whichever field they become.
func FuzzExpansion(f *testing.F) {
	f.Add("/a\r\nSet-Cookie: x=y", "q=\r\n", "v\r\nX: y", "a=\n", "example.com\r\nX: y")
	f.Add("/\x00", "\x00", "\x7f", "c=\r", "h")
	s := &site{t: nil}
	f.Fuzz(func(t *testing.T, path, query, value, cookies, host string) {
		*s = *newSite(t, "/", `configuration-snippet: set $v $arg_q; proxy_set_header X-A "$uri$v$http_x_a$cookie_a$host"; `+
			`add_header X-B "$uri$args$http_x_a$request_uri" always; more_set_headers "X-C: $arg_q"; more_set_input_headers "X-I: $uri";`+
			"\nupstream-vhost: $host\nenable-cors: true\ncors-allow-origin: https://*.example.com")
		proxy := &s.location.Settings.Proxy
		proxy.RedirectOff, proxy.RedirectFrom, proxy.RedirectTo = false, "/", "$uri"
		proxy.CookiePath = []settings.Replacement{{From: "/", To: "$uri"}}
		x := s.request("GET http://example.com/")
		r := x.Request
		r.Path, r.Query, r.Host, r.Authority, r.Target = path, []byte(query), host, []byte(host), []byte(path)
		x.Authority = r.Authority
		r.Header.AddString("X-A", value)
		r.Header.AddString("Cookie", cookies)
		r.Header.AddString("Origin", "https://a.example.com")
		response := &message.Response{Status: 200}
		if s.policy.Admit(x) {
			s.policy.Request(x)
			response.Header.AddString("Location", "/x")
			response.Header.AddString("Set-Cookie", "a=b; Path=/x")
		} else {
			response.Status, response.Header = x.Answer.Status, x.Answer.Header
		}
		s.policy.Response(x, response)
		oneLine(t, message.Header(x.Edits))
		oneLine(t, response.Header)
		oneLine(t, message.Header{{Name: []byte("Host"), Value: x.HostField}, {Name: []byte("In"), Value: r.Header.Get("X-I")}})
	})
}

func oneLine(t *testing.T, h message.Header) {
	t.Helper()
	for _, f := range h {
		for _, c := range append(append([]byte{}, f.Name...), f.Value...) {
			if !isValue(c) {
				t.Fatalf("%q: %q", f.Name, f.Value)
			}
		}
	}
}

func replacements(from, to string) []settings.Replacement {
	return []settings.Replacement{{From: from, To: to}}
}
