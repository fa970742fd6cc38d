package settings

import "testing"

func TestParseAlias(t *testing.T) {
	for word, want := range map[string]struct{ name, matches, not string }{
		"A.example.com.":     {name: "a.example.com"},
		"*.example.com":      {name: "*.example.com"},
		".example.com":       {name: ".example.com"},
		"www.example.*":      {name: "www.example.*", matches: "www.example.co.uk", not: "xwww.example.com"},
		`~^www\d+\.example$`: {name: `~^www\d+\.example$`, matches: "WWW1.example", not: "www.example"},
		`~*^a`:               {name: `~*^a`, matches: "Abc", not: "b"},
	} {
		a, err := ParseAlias(word)
		if err != nil || a.Name != want.name || (a.Pattern == nil) != (want.matches == "") {
			t.Errorf("ParseAlias(%q) = %+v, %v", word, a, err)
			continue
		}
		if a.Pattern != nil && (!a.Pattern.MatchString(want.matches) || a.Pattern.MatchString(want.not)) {
			t.Errorf("ParseAlias(%q): pattern %s does not match %q alone", word, a.Pattern, want.matches)
		}
	}
	for _, word := range []string{"a..b", "*example.com", "a.*.b", "*", ".", "~(", "a b", "-{}", ""} {
		if a, err := ParseAlias(word); err == nil {
			t.Errorf("ParseAlias(%q) = %+v, want an error", word, a)
		}
	}
}
