package message

import "testing"

func TestGoodTarget(t *testing.T) {
	for target, want := range map[string]bool{
		"/": true, "/a?b=c": true, "//": true, "/%20": true, "/\xff": true, "*": true,
		"": false, "a": false, "http://a/": false, "/a b": false, "/a\tb": false, "/a\r\nb": false, "/\x00": false, "/\x7f": false, "/#": false,
		"**": false,
	} {
		if got := GoodTarget(target, "OPTIONS"); got != want {
			t.Errorf("%q: %v", target, got)
		}
	}
	if GoodTarget("*", "GET") {
		t.Error("* of GET")
	}
}
