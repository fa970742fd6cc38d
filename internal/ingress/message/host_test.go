package message

import "testing"

func TestHostname(t *testing.T) {
	for authority, want := range map[string]string{
		"a.test": "a.test", "A.Test": "a.test", "a.test:80": "a.test", "a.test:": "a.test", "a.test.": "a.test", "a.test.:443": "a.test",
		"a_b-1.test": "a_b-1.test", "10.0.0.1:80": "10.0.0.1", "[2001:DB8::1]:80": "[2001:db8::1]", "[::1]": "[::1]",
		"": "", ".": "", "..": "", ":80": "", "a..b": "", ".a": "", "a.test:x": "", "a.test:123456": "", "a:b:1": "", "a/b": "", "u@a": "",
		"a b": "", "a\x00": "", "[]": "", "[::1": "", "[::1]x": "", "[1.2.3.4]": "", "[fe80::1%eth0]": "", "::1": "", "ä.test": "",
	} {
		for _, before := range []string{"", "a.test", "b.test"} {
			if got, ok := Hostname([]byte(authority), before); got != want || ok != (want != "") {
				t.Errorf("%q after %q: %q, %v", authority, before, got, ok)
			}
		}
	}
	authority := []byte("Same.test")
	if n := testing.AllocsPerRun(10, func() { Hostname(authority[:9:9], "Same.test") }); n > 0 {
		t.Errorf("%v allocations for the same name", n)
	}
}
