package nginx

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// shape is a directive as nginx reads it, without what its arguments say.
type shape struct {
	Name  string
	Args  int
	Block []shape
}

// read reads a configuration by nginx's rules (ngx_conf_read_token), written independently of what wrote it.
func read(text string) ([]shape, string, error) {
	var list []shape
	for {
		text = strings.TrimLeft(text, " \t\r\n")
		switch {
		case text == "":
			return list, "", nil
		case text[0] == '}':
			return list, text[1:], nil
		case text[0] == '#':
			_, text, _ = strings.Cut(text, "\n")
			continue
		}
		one, rest, err := readDirective(text)
		if err != nil {
			return nil, "", err
		}
		list, text = append(list, one), rest
	}
}

func readDirective(text string) (shape, string, error) {
	var one shape
	for words := 0; ; words++ {
		text = strings.TrimLeft(text, " \t\r\n")
		if text == "" {
			return one, "", errors.New("a directive does not end")
		}
		switch text[0] {
		case ';':
			one.Args = words - 1
			return one, text[1:], nil
		case '{':
			one.Args = words - 1
			inner, rest, err := read(text[1:])
			one.Block = append([]shape{}, inner...)
			return one, rest, err
		}
		word, rest, err := readWord(text)
		if err != nil {
			return one, "", err
		}
		if words == 0 {
			one.Name = word
		}
		text = rest
	}
}

// readWord cuts the first word off.
func readWord(text string) (word, rest string, err error) {
	quote := byte(0)
	i := 0
	if text[0] == '"' || text[0] == '\'' {
		quote, i = text[0], 1
	}
	for ; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\':
			i++
		case quote != 0 && c == quote:
			if i+1 < len(text) && !strings.ContainsRune(" \t\r\n;{)", rune(text[i+1])) {
				return "", "", errors.New("something follows a quoted word")
			}
			return text[:i+1], text[i+1:], nil
		case quote == 0 && c == '$' && i+1 < len(text) && text[i+1] == '{':
			i++
		case quote == 0 && strings.IndexByte(" \t\r\n;{", c) >= 0:
			return text[:i], text[i:], nil
		}
	}
	return "", "", errors.New("a word does not end")
}

// FuzzRender puts any string wherever an object of the API can have one: the directives of the configuration are always those of
// a harmless string, or the string is refused.
func FuzzRender(f *testing.F) {
	for _, s := range nasty {
		f.Add(s)
	}
	harmless, _ := render("x")
	f.Fuzz(func(t *testing.T, s string) {
		files, problems := render(s)
		got, rest, err := read(files[ConfigFile])
		if err != nil || rest != "" {
			t.Fatalf("%q: %v, and this follows the end: %q\n%s", s, err, rest, files[ConfigFile])
		}
		if len(problems) > 0 {
			return // what is refused leaves directives out
		}
		want, _, _ := read(harmless[ConfigFile])
		for i := range got {
			got[i] = withoutVariables(got[i])
			want[i] = withoutVariables(want[i])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q changes the directives (-harmless +got):\n%s", s, diff)
		}
	})
}

// withoutVariables leaves out how many entries a map has, and what they are: keys are strings of the API.
func withoutVariables(s shape) shape {
	if s.Name == "map" || s.Name == "split_clients" {
		s.Block = []shape{}
	}
	for i := range s.Block {
		s.Block[i] = withoutVariables(s.Block[i])
	}
	return s
}

func render(s string) (Files, []route.Problem) {
	return Render(Input{Entry: Entry{HTTPPort: 8080, Dir: "/run/nginx/current", Run: "/run/nginx/run"}, Table: everywhere(s)})
}

// everywhere returns a table with a host that has a string in all places.
func everywhere(s string) *route.Table {
	edit := []settings.HeaderEdit{{Name: "X-Test", Value: s}}
	set := &settings.Settings{
		Rewrite:  settings.Rewrite{Target: "/t" + s, ForwardedPrefix: s + "x", AppRoot: "/a" + s},
		Redirect: settings.Redirect{TLSCode: 308, TLSAlways: true},
		CORS: &settings.CORS{
			Origins: []settings.Origin{{Scheme: "https", Host: s}}, Methods: "GET" + s, Headers: "X" + s, ExposeHeaders: "Y" + s, Credentials: true,
		},
		BasicAuth: &settings.BasicAuth{Realm: s},
		Auth: &settings.ExternalAuth{
			URL: "http://192.0.2.1/" + s, Method: "GET", SignIn: "http://192.0.2.1/" + s, RedirectParam: "rd", ResponseHeaders: []string{"X-User"}, SetHeaders: edit,
		},
		Limits: settings.Limits{RPS: 1, BurstMultiplier: 5, Connections: 2, Code: 503, ConnCode: 503, Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		Proxy: settings.Proxy{
			Connect: time.Second, Read: time.Second, Send: time.Second, BufferSize: 4096, Buffers: 4, RedirectFrom: "http://a" + s, RedirectTo: "http://b" + s,
			ConnectionHeader: "x" + s, CookieDomain: []settings.Replacement{{From: "a" + s, To: "b" + s}},
		},
		Upstream: settings.Upstream{VHost: "v" + s, HashBy: "h" + s},
		Mirror:   &settings.Mirror{Target: "http://192.0.2.1/" + s, Host: "m" + s},
		Headers:  edit,
		Snippet: []settings.Statement{
			{Op: settings.AddHeader, Name: "X-A", Value: s},
			{Op: settings.AddHeader, Name: "X-B", Value: s, When: &settings.Condition{Variable: "http_x", Test: settings.TestEqual, Equal: s}},
			{Op: settings.AddHeader, Name: "X-C", Value: s, When: &settings.Condition{Variable: "http_x", Test: settings.TestMatch, Pattern: regexp.MustCompile(regexp.QuoteMeta(strings.ToValidUTF8(s, "?")))}},
		},
	}
	main := &route.Backend{ID: 1, Key: route.Key{Service: model.Ref{Namespace: "shop", Name: "web"}, Name: s}, Upstream: &set.Upstream}
	path := "/p" + regexp.QuoteMeta(strings.ToValidUTF8(s, "?"))
	l := &route.Location{
		Path: path, Pattern: regexp.MustCompile("(?i)^" + path), Match: route.MatchPattern, Ingress: model.Ref{Namespace: "shop", Name: "web"}, Backend: main, Settings: set, Number: 1,
		Users: &route.Users{"user" + s: "hash"},
	}
	table := &route.Table{
		Default: &route.Host{Regex: true, Locations: []*route.Location{l}, Aliases: []settings.Alias{{Name: "a" + s}}},
		Global:  &settings.Global{Client: settings.Client{Line: 8192, HeaderBytes: 32768}},
	}
	return table
}
