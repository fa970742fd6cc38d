package route

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// hostOf returns a host of locations "exact PATH", "prefix PATH", "slash PATH" or "pattern PATH", in this order.
func hostOf(t testing.TB, locations ...string) *Host {
	t.Helper()
	h := &Host{}
	for _, text := range locations {
		kind, path, _ := strings.Cut(text, " ")
		l := &Location{Path: path, Settings: &settings.Settings{}}
		switch kind {
		case "exact":
			l.Match = MatchExact
		case "slash":
			l.Match = MatchSlash
		case "pattern":
			l.Match, h.Regex = MatchPattern, true
			re, err := compilePattern(path)
			if err != nil {
				t.Fatal(err)
			}
			l.Pattern = re
		default:
			l.Match = MatchPrefix
		}
		h.Locations = append(h.Locations, l)
	}
	h.arrange()
	return h
}

func found(l *Location) string {
	if l == nil {
		return "none"
	}
	return l.Match.String() + " " + l.Path
}

func TestMatch(t *testing.T) {
	plain := hostOf(t, "prefix /foo/bar", "exact /foo/bar/baz", "prefix /foo", "exact /foo", "prefix /my-path/", "redirect /", "slash /my-path",
		"exact /only", "prefix /a/b/c/d", "prefix /a", "prefix /")
	patterns := hostOf(t, "pattern /foo/bar/[a-z]{3}", "pattern /foo/bar/bar", "pattern /app(/|$)(.*)", "pattern /Header", "pattern /aaa",
		`pattern /under\_score`, "pattern ^/anchor", "pattern /[A-Z]{3}", "pattern /x|/y$", "pattern /")
	for _, c := range []struct {
		host       *Host
		path, want string
	}{
		{plain, "/", "prefix /"},
		{plain, "/foo", "exact /foo"},
		{plain, "/foo/", "prefix /foo"},
		{plain, "/foo/x", "prefix /foo"},
		{plain, "/foobar", "prefix /"},
		{plain, "/foo/bar", "prefix /foo/bar"},
		{plain, "/foo/bar/", "prefix /foo/bar"},
		{plain, "/foo/bar/baz", "exact /foo/bar/baz"},
		{plain, "/foo/bar/baz/", "prefix /foo/bar"},
		{plain, "/foo/barx", "prefix /foo"},
		{plain, "/my-path", "redirect /my-path"},
		{plain, "/my-path/", "prefix /my-path/"},
		{plain, "/my-path/x", "prefix /my-path/"},
		{plain, "/my-pathx", "prefix /"},
		{plain, "/only", "exact /only"},
		{plain, "/only/", "prefix /"},
		{plain, "/a/b/c", "prefix /a"},
		{plain, "/a/b/c/d", "prefix /a/b/c/d"},
		{plain, "/a/b/c/dd", "prefix /a"},
		{plain, "/FOO", "prefix /"},
		{plain, "", "none"},
		{plain, "*", "none"},
		{patterns, "/foo/bar/bar", "pattern /foo/bar/[a-z]{3}"},
		{patterns, "/foo/bar/123", "pattern /[A-Z]{3}"},
		{patterns, "/FOO/BAR/BARX", "pattern /foo/bar/[a-z]{3}"},
		{patterns, "/headers", "pattern /Header"},
		{patterns, "/aaaccc", "pattern /aaa"},
		{patterns, "/uuid", "pattern /[A-Z]{3}"},
		{patterns, "/uuid/x", "pattern /[A-Z]{3}"},
		{patterns, "/app", "pattern /app(/|$)(.*)"},
		{patterns, "/application", "pattern /[A-Z]{3}"},
		{patterns, "/under_score", `pattern /under\_score`},
		{patterns, "/anchor", "pattern ^/anchor"},
		{patterns, "/12/y", "pattern /x|/y$"},
		{patterns, "/12", "pattern /"},
	} {
		if got := found(c.host.Match(c.path)); got != c.want {
			t.Errorf("Match(%q) = %s, want %s", c.path, got, c.want)
		}
	}
}

// TestMatchIsThatOfASearchInOrder compares with the rules of nginx, applied to each location in turn.
func TestMatchIsThatOfASearchInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	path := func() string {
		var b strings.Builder
		for range 1 + rng.IntN(4) {
			b.WriteString("/" + []string{"a", "b", "ab", "abc", "B", ""}[rng.IntN(6)])
		}
		clean, err := CleanPath([]byte(b.String()), nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(clean)
	}
	for range 300 {
		var plain, regex []string
		seen := map[string]bool{}
		for range 1 + rng.IntN(12) {
			l := []string{"exact ", "prefix "}[rng.IntN(2)] + path()
			if !seen[l] {
				plain = append(plain, l)
				seen[l] = true
			}
			regex = append(regex, "pattern "+path()+[]string{"", "$", "[a-c]", "(b|ab)", ".*", "(/|$)(.*)", "($|/)", "/?(.*)", "(/|$)x?"}[rng.IntN(9)])
		}
		p, r := hostOf(t, plain...), hostOf(t, regex...)
		for range 60 {
			at := path()
			if got, want := found(p.Match(at)), found(nginxMatch(p.Locations, at)); got != want {
				t.Fatalf("%v: Match(%q) = %s, want %s", plain, at, got, want)
			}
			if got, want := found(r.Match(at)), found(firstPattern(r.Locations, at)); got != want {
				t.Fatalf("%v: Match(%q) = %s, want %s", regex, at, got, want)
			}
		}
	}
}

func nginxMatch(locations []*Location, path string) *Location {
	var best *Location
	for _, l := range locations {
		if l.Match == MatchExact && l.Path == path {
			return l
		}
	}
	for _, l := range locations {
		if l.Match != MatchPrefix || l.Path != path && !strings.HasPrefix(path, withSlash(l.Path)) {
			continue
		}
		// "/foo" is "= /foo" beside "/foo/", so for "/foo/" itself a location "/foo/" is no longer.
		if best == nil || len(withSlash(l.Path)) > len(withSlash(best.Path)) {
			best = l
		}
	}
	return best
}

func firstPattern(locations []*Location, path string) *Location {
	for _, l := range locations {
		if l.Pattern.MatchString(path) {
			return l
		}
	}
	return nil
}

// FuzzPattern compares the lookup of patterns by their literal beginning with trying each of them.
func FuzzPattern(f *testing.F) {
	f.Add("/foo(/|$)(.*)", "/Foo/bar")
	f.Add("/a|/b", "/b")
	f.Add("/a(/|$)(.*)", "/a/\n")
	f.Add("/a(?m:/|$)", "/a\n")
	f.Add("/k", "/\u212a")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		re, err := compilePattern(pattern)
		if err != nil || len(pattern) > 100 || !strings.HasPrefix(path, "/") {
			return
		}
		for i := range len(path) {
			if path[i] >= 0x80 {
				return // RE2 folds two letters of Unicode into ASCII, which nginx, and the literal, do not
			}
		}
		l := &Location{Path: pattern, Match: MatchPattern, Pattern: re}
		p := newPatterns([]*Location{l})
		if got, want := p.find(path) != nil, re.MatchString(path); got != want {
			t.Errorf("pattern %q, path %q: %v, want %v", pattern, path, got, want)
		}
	})
}

func TestMatchDoesNotAllocate(t *testing.T) {
	plain := hostOf(t, "prefix /foo", "exact /foo/bar", "prefix /")
	patterns := hostOf(t, "pattern /foo(/|$)(.*)", "pattern /")
	for _, h := range []*Host{plain, patterns} {
		if n := testing.AllocsPerRun(100, func() { h.Match("/foo/bar/baz") }); n != 0 {
			t.Errorf("%s: Match allocates %v times", found(h.Locations[0]), n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		var plain, patterns []string
		for i := range n {
			plain = append(plain, fmt.Sprintf("prefix /service-%04d/api", i))
			patterns = append(patterns, fmt.Sprintf("pattern /service-%04d/api(/|$)(.*)", i))
		}
		path := fmt.Sprintf("/service-%04d/api/v1/users/17", n/2)
		for name, h := range map[string]*Host{"paths": hostOf(b, append(plain, "prefix /")...), "patterns": hostOf(b, append(patterns, "pattern /")...)} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if h.Match(path) == nil {
						b.Fatal("no location")
					}
				}
			})
		}
	}
}
