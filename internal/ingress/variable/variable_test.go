package variable

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	own := func(name string) bool { return name == "mine" || name == "http_x" }
	cases := []struct {
		text string
		want Text
	}{
		{"", nil},
		{"plain text", Text{{Name: "plain text"}}},
		{"$host", Text{{Kind: Host}}},
		{"$HOST", Text{{Kind: Host}}},
		{"${host}name", Text{{Kind: Host}, {Name: "name"}}},
		{"a$scheme://$http_host$request_uri", Text{{Name: "a"}, {Kind: Scheme}, {Name: "://"}, {Kind: HTTPHost}, {Kind: RequestURI}}},
		{"$http_x_forwarded_for", Text{{Kind: Header, Name: "x_forwarded_for"}}},
		{"$arg_a,$cookie_b;", Text{{Kind: Argument, Name: "a"}, {Name: ","}, {Kind: Cookie, Name: "b"}, {Name: ";"}}},
		{"$sent_http_a$upstream_http_b", Text{{Kind: Sent, Name: "a"}, {Kind: Sent, Name: "b"}}},
		{"$1$2", Text{{Kind: Capture, Number: 1}, {Kind: Capture, Number: 2}}},
		{"/$10", Text{{Name: "/"}, {Kind: Capture, Number: 1}, {Name: "0"}}},
		{"${1}0", Text{{Kind: Capture, Number: 1}, {Name: "0"}}},
		{"$mine", Text{{Kind: Own, Name: "mine"}}},
		{"$http_x", Text{{Kind: Own, Name: "http_x"}}}, // what a snippet sets comes before what nginx has
	}
	for _, c := range cases {
		got, err := Parse(c.text, own)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.text, diff)
		}
	}
	for text, want := range map[string]string{
		"$nope": "variable $nope is not known", "a$": "without the name", "$ a": "without the name", "${host": "not closed", "$http_": "not known",
		"${}": "without the name", "${10}": "not known",
	} {
		if _, err := Parse(text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestStatic(t *testing.T) {
	for text, want := range map[string]bool{"": true, "a b": true, "$host": false, "a$host": false} {
		parsed, err := Parse(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := parsed.Static(); ok != want || ok && got != text {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	}
}

// TestNames: every name in the list is known, and in the form in which it is looked up.
func TestNames(t *testing.T) {
	for name, kind := range kinds {
		parsed, err := Parse("$"+name, nil)
		if err != nil || len(parsed) != 1 || parsed[0].Kind != kind || kind < firstNamed || !Known(name) {
			t.Errorf("$%s: %v, %v", name, parsed, err)
		}
	}
	if Known("nope") || !Known("http_anything") {
		t.Error("names of families")
	}
}

// FuzzParse: literal parts are pieces of the text in order, and what is between them is variables.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "$", "${", "$host$", "a${host}b$1", "$$", "${1}", "\x00$http_é"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text, nil)
		if err != nil {
			return
		}
		rest := text
		for _, p := range parsed {
			if p.Kind == Literal {
				if p.Name == "" || strings.Contains(p.Name, "$") || !strings.HasPrefix(rest, p.Name) {
					t.Fatalf("%q: literal %q at %q", text, p.Name, rest)
				}
				rest = rest[len(p.Name):]
				continue
			}
			if !strings.HasPrefix(rest, "$") {
				t.Fatalf("%q: a variable at %q", text, rest)
			}
			_, after, err := cut(rest[1:])
			if err != nil {
				t.Fatal(err)
			}
			rest = after
		}
		if rest != "" {
			t.Fatalf("%q: %q is left out", text, rest)
		}
	})
}
