package settings

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSnippet(t *testing.T) {
	slow := &Condition{Variable: "http_user_agent", Test: TestMatch, Pattern: regexp.MustCompile("(?i)bot|spider")}
	notGet := &Condition{Variable: "request_method", Test: TestEqual, Equal: "GET", Negate: true}
	set := &Condition{Variable: "cookie_x"}
	for text, want := range map[string][]Statement{
		"":              nil,
		"# nothing\n ;": nil,
		`add_header X-A "a b" always; add_header X-B b;`: {
			{Op: AddHeader, Name: "X-A", Value: "a b", Always: true}, {Op: AddHeader, Name: "X-B", Value: "b"},
		},
		`more_set_headers "X-A: $host" 'X-B:b';more_clear_headers Server;`: {
			{Op: SetResponse, Name: "X-A", Value: "$host", Always: true},
			{Op: SetResponse, Name: "X-B", Value: "b", Always: true},
			{Op: ClearResponse, Name: "Server", Always: true},
		},
		"more_set_input_headers 'X-A: 1'; more_clear_input_headers X-B;": {
			{Op: SetRequest, Name: "X-A", Value: "1", Always: true}, {Op: SetRequest, Name: "X-B", Always: true},
		},
		"proxy_set_header X-A ${http_x_b}c; proxy_hide_header X-Powered-By; proxy_method GET;": {
			{Op: SetHeader, Name: "X-A", Value: "${http_x_b}c"}, {Op: HideHeader, Name: "X-Powered-By"}, {Op: SetMethod, Value: "GET"},
		},
		"set $own \"$host\"; add_header X $own;": {
			{Op: SetVariable, Name: "own", Value: "$host"}, {Op: AddHeader, Name: "X", Value: "$own"},
		},
		"if ($http_user_agent ~* \"bot|spider\") { return 403; }": {{Op: Return, Code: 403, When: slow}},
		"if ($request_method != GET) {\n return 405 \"no\";\n}":   {{Op: Return, Code: 405, Value: "no", When: notGet}},
		"if ($cookie_x) { add_header X 1; return 302 https://$host/x; }": {
			{Op: AddHeader, Name: "X", Value: "1", When: set}, {Op: Return, Code: 302, Value: "https://$host/x", When: set},
		},
		"return https://example.com;": {{Op: Return, Code: 302, Value: "https://example.com"}},
	} {
		got, errs := ParseSnippet(text)
		if diff := cmp.Diff(want, got, equal); diff != "" || len(errs) > 0 {
			t.Errorf("%s: errors %v, statements (-want +got):\n%s", text, errs, diff)
		}
	}
}

// TestSnippetRefuses has what is not interpreted, and whether it guards: then the locations are closed.
func TestSnippetRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"deny all;":                                       "deny guard",
		"limit_except GET { deny all; }":                  "limit_except guard",
		"auth_request /x;":                                "auth_request guard",
		"gzip on;":                                        "gzip",
		"rewrite ^/a /b last;":                            "rewrite",
		"proxy_pass http://169.254.169.254;":              "proxy_pass",
		"location /x { return 200; }":                     "location guard",
		"location /x { add_header X y; }":                 "location",
		"content_by_lua_block { os.execute('x') }":        "content_by_lua_block",
		"add_header X;":                                   "add_header",
		"add_header \"X: y\" z;":                          "add_header",
		"add_header X $nope;":                             "add_header",
		"add_header X \"a\\nb\";":                         "add_header",
		"set $host x;":                                    "set guard",
		"return 99;":                                      "return guard",
		"if (-f $request_filename) { return 403; }":       "if guard",
		"if ($a = b) { return 403; }":                     "if guard",
		"if ($host = \"a\" b) { return 403; }":            "if guard",
		"if ($host) { if ($args) { return 403; } }":       "if guard",
		"add_header X \"open;":                            "(syntax) guard",
		"}":                                               "(syntax) guard",
		"if ($host) { return 403;":                        "(syntax) guard",
		"more_set_headers -s 404 'X: y';":                 "more_set_headers",
		"alias /etc/; root /; include /etc/passwd;":       "alias root include",
		"proxy_set_header Host x; } server { listen 1; }": "(syntax) guard server",
	} {
		_, errs := ParseSnippet(text)
		var got []string
		for _, e := range errs {
			word := e.Directive
			if e.Guard {
				word += " guard"
			}
			if len(got) == 0 || got[len(got)-1] != word {
				got = append(got, word)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: refused %q (%v), want %q", text, strings.Join(got, " "), errs, want)
		}
	}
}

func TestSnippetNeedsPermission(t *testing.T) {
	g := Default()
	g.Policy.Risk = Critical
	if s, problems := parseOf(g, "configuration-snippet=add_header X y;"); len(s.Snippet) != 0 || Worst(problems) != Lost {
		t.Errorf("without allow-snippet-annotations: %v, %v", s.Snippet, problems)
	}
	if _, problems := parseOf(open(), "configuration-snippet=deny all;"); Worst(problems) != Denied {
		t.Errorf("a guard that is not interpreted: %v, want the locations denied", problems)
	}
	s, problems := parseOf(open(), "configuration-snippet=add_header X y;", "server-snippet=add_header S y;", "auth-url=http://a/", "auth-snippet=proxy_set_header A y;")
	if len(s.Snippet) != 1 || len(s.Server) != 1 || s.Auth == nil || len(s.Auth.Snippet) != 1 || len(problems) > 0 {
		t.Errorf("snippets %v, %v, auth %+v, problems %v", s.Snippet, s.Server, s.Auth, problems)
	}
}

// FuzzParseSnippet holds for every text: each directive is interpreted or named, and no statement has a line end in a header.
func FuzzParseSnippet(f *testing.F) {
	f.Add("add_header X \"a\"; if ($host ~ x) { return 403 'y'; } set $a b; # c")
	f.Add("a{b;}c\\;\"'${x}")
	f.Fuzz(func(t *testing.T, text string) {
		statements, errs := ParseSnippet(text)
		for _, s := range statements {
			if s.Op != Return && s.Op != SetVariable && strings.ContainsAny(s.Name+s.Value, "\r\n\x00") {
				t.Fatalf("%q: %+v", text, s)
			}
		}
		words := strings.Trim(text, " \t\r\n;")
		if len(statements) == 0 && len(errs) == 0 && words != "" && !strings.Contains(words, "#") && !strings.HasPrefix(words, "if") {
			t.Fatalf("%q: neither statements nor errors", text)
		}
	})
}
