package server

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/dns/fastpath"
)

// analyzed returns what the first block of a Corefile means.
func analyzed(t *testing.T, text string) block {
	t.Helper()
	parsed, err := Corefile{Path: "Corefile", Text: []byte(text)}.parse()
	if err != nil {
		t.Fatal(err)
	}
	return analyze(parsed)[0]
}

func TestDefaultCorefileHasTheFastPath(t *testing.T) {
	b := analyzed(t, string(Default("cluster.local").Text))
	want := &fastpath.CacheConfig{
		Zones: []string{"."}, NoSuccess: []string{"cluster.local."}, NoDenial: []string{"cluster.local."},
		Exclude: []string{"cluster.local.", "in-addr.arpa.", "ip6.arpa."},
	}
	if diff := cmp.Diff(want, b.caches); diff != "" {
		t.Error(diff)
	}
	if b.slow != "" || !b.rotate || !b.counted || b.denialsGoOn || b.where != "Corefile:2" {
		t.Errorf("%+v", b)
	}
}

func TestWhatTurnsTheFastPathOff(t *testing.T) {
	for plugins, want := range map[string]string{
		"":                                     "",
		"errors\nhealth\nready\ndebug\nnsid":   "",
		"loadbalance":                          "",
		"loadbalance round_robin":              "",
		"bufsize 1232":                         "",
		"autopath @kubernetes":                 "",
		"transfer {\n to *\n}":                 "",
		"file db.example example.org":          "",
		"loadbalance weighted w.txt":           "loadbalance (Corefile:3) does more than round_robin",
		"loadbalance {\n prefer 10.0.0.0/8\n}": "loadbalance (Corefile:3) does more than round_robin",
		"cache 30":                             "",
		"cache 4":                              "cache (Corefile:3) confines times to live to 5 to 4 seconds, and those of the cluster zone are 5",
		"cache 4 example.org":                  "",
		"cache {\n denial 100 9 7\n}":          "cache (Corefile:3) confines times to live to 7 to 9 seconds, and those of the cluster zone are 5",
		"log":                                  "log (Corefile:3) sees every question first",
		"rewrite name a b":                     "rewrite (Corefile:3) sees every question first",
		"acl {\n block type A\n}":              "acl (Corefile:3) sees every question first",
		"template IN A {\n rcode NXDOMAIN\n}":  "template (Corefile:3) sees every question first",
		"hosts":                                "hosts (Corefile:3) sees every question first",
		"errors\ndns64":                        "dns64 (Corefile:4) sees every question first",
		"minimal":                              "minimal (Corefile:3) sees every question first",
		"header {\n response set ra\n}":        "header (Corefile:3) sees every question first",
		"local":                                "local (Corefile:3) sees every question first",
		"view v {\n expr true\n}":              "view (Corefile:3) chooses the block by the question",
		"multisocket 2":                        "multisocket (Corefile:3) concerns the sockets themselves",
		"tsig {\n secret a b\n}":               "tsig (Corefile:3) concerns the sockets themselves",
	} {
		b := analyzed(t, ".:53 {\nkubernetes cluster.local\n"+plugins+"\n}\n")
		if b.slow != want {
			t.Errorf("%q: %q, want %q", plugins, b.slow, want)
		}
	}
	if b := analyzed(t, ".:53 {\nforward . 192.0.2.1\n}\n"); !strings.HasPrefix(b.slow, "neither") {
		t.Errorf("a block without ours: %q", b.slow)
	}
}

func TestWhatIsCached(t *testing.T) {
	for plugins, want := range map[string]string{
		"cache":                               "",
		"cache 60 example.org":                "",
		"cache {\n success 100 60\n}":         "",
		"cache {\n prefetch 10\n}":            "cache (Corefile:4) has the option prefetch",
		"cache {\n serve_stale\n}":            "cache (Corefile:4) has the option serve_stale",
		"cache {\n keepttl\n}":                "cache (Corefile:4) has the option keepttl",
		"errors":                              "the block has no cache",
		"cache\nautopath @kubernetes":         "",
		"cache\nautopath /etc/resolv.conf":    "autopath (Corefile:4) has a search list of its own",
		"cache {\n disable success a.test\n}": "",
	} {
		b := analyzed(t, ".:53 {\nkubernetes cluster.local\n"+plugins+"\n}\n")
		if b.uncached != want || (b.caches == nil) != (want != "") {
			t.Errorf("%q: %q (%+v), want %q", plugins, b.uncached, b.caches, want)
		}
	}
}

func TestDigest(t *testing.T) {
	hash := func(text string) string {
		parsed, err := Corefile{Path: "Corefile", Text: []byte(text)}.parse()
		if err != nil {
			t.Fatal(err)
		}
		sum, err := digest(parsed)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	before := hash(".:53 {\n  errors\n}\n")
	if hash(".:53 {\n  errors # and a comment\n}\n") != before {
		t.Error("a comment counts")
	}
	if hash(".:53 {\n  errors\n  log\n}\n") == before {
		t.Error("a directive does not count")
	}
}

func FuzzAnalyze(f *testing.F) {
	f.Add(string(Default("cluster.local").Text))
	f.Add(".:53 {\nkubernetes cluster.local\ncache 60 example.org {\n disable success\n prefetch\n}\nbufsize\nloadbalance weighted\n}\n")
	f.Fuzz(func(_ *testing.T, text string) {
		if strings.Contains(text, "import") {
			return // it would read files
		}
		if parsed, err := (Corefile{Path: "Corefile", Text: []byte(text)}).parse(); err == nil {
			analyze(parsed)
		}
	})
}
