package route

import (
	"bytes"
	"errors"
	"testing"
)

// cleanCases are paths and what nginx 1.22 makes of them ($uri, with merge_slashes on); an error where it answers 400.
var cleanCases = []struct {
	raw, want string
	err       error
}{
	{"/", "/", nil},
	{"/a/b", "/a/b", nil},
	{"/a.b/..c/.d/...", "/a.b/..c/.d/...", nil},
	{"//", "/", nil},
	{"////uuid", "/uuid", nil},
	{"/a//b///c/", "/a/b/c/", nil},
	{"/.", "/", nil},
	{"/a/.", "/a/", nil},
	{"/a/./b", "/a/b", nil},
	{"/a/..", "/", nil},
	{"/a/../b", "/b", nil},
	{"/a/b/../../c", "/c", nil},
	{"/a//../b", "/b", nil},
	{"/..", "", ErrPathRoot},
	{"/../a", "", ErrPathRoot},
	{"/a/../..", "", ErrPathRoot},
	{"//..", "", ErrPathRoot},
	{"/%61%2Fb", "/a/b", nil},
	{"/a%2f..%2fb", "/b", nil},
	{"/a/%2e%2E/b", "/b", nil},
	{"/a/.%2e", "/", nil},
	{"/%2e", "/", nil},
	{"/a%20b", "/a b", nil},
	{"/a%25b", "/a%b", nil},
	{"/a%252e", "/a%2e", nil},
	{"/a%3Fb%23c", "/a?b#c", nil},
	{"/%e2%82%AC", "/€", nil},
	{"/%0a", "/\n", nil},
	{"/a+b", "/a+b", nil},
	{"/a;b=c,d", "/a;b=c,d", nil},
	{`/a\..\b`, `/a\..\b`, nil},
	{"/%", "", ErrPathEscape},
	{"/%4", "", ErrPathEscape},
	{"/%4g", "", ErrPathEscape},
	{"/%zz", "", ErrPathEscape},
	{"/%00", "", ErrPathNUL},
	{"/a\x00", "", ErrPathNUL},
	{"/a?b", "", ErrPathEnd},
	{"/a#b", "", ErrPathEnd},
	{"", "", ErrPathStart},
	{"a", "", ErrPathStart},
	{"*", "", ErrPathStart},
	{"%2fa", "", ErrPathStart},
}

func TestCleanPath(t *testing.T) {
	for _, c := range cleanCases {
		got, err := CleanPath([]byte(c.raw), nil)
		if string(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("CleanPath(%q) = %q, %v; want %q, %v", c.raw, got, err, c.want, c.err)
		}
	}
}

// FuzzCleanPath holds for every path: the result is one that nothing is to be done to, and a buffer makes no difference.
func FuzzCleanPath(f *testing.F) {
	for _, c := range cleanCases {
		f.Add([]byte(c.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		got, err := CleanPath(raw, nil)
		again, errAgain := CleanPath(raw, make([]byte, 3, 64))
		if !bytes.Equal(got, again) || !errors.Is(errAgain, err) {
			t.Fatalf("CleanPath(%q) = %q, %v; with a buffer %q, %v", raw, got, err, again, errAgain)
		}
		if !bytes.Equal(before, raw) {
			t.Fatalf("CleanPath(%q) has written to its input: %q", before, raw)
		}
		if err != nil {
			return
		}
		if len(got) == 0 || got[0] != '/' {
			t.Fatalf("CleanPath(%q) = %q, which does not begin with a slash", raw, got)
		}
		for i, e := range bytes.Split(got[1:], []byte("/")) {
			last := i == bytes.Count(got[1:], []byte("/"))
			if len(e) == 0 && !last || bytes.Equal(e, []byte(".")) || bytes.Equal(e, []byte("..")) || bytes.IndexByte(e, 0) >= 0 {
				t.Fatalf("CleanPath(%q) = %q has element %q", raw, got, e)
			}
		}
	})
}

// TestCleanPathDoesNotAllocate also where there is something to do, given a buffer.
func TestCleanPathDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 256)
	for _, raw := range []string{"/a/b/c", "/a/../%62//c"} {
		in := []byte(raw)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := CleanPath(in, buf); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("CleanPath(%q) allocates %v times", raw, n)
		}
	}
}
