package e2e

import (
	"strings"
	"testing"
)

func TestRefusedFlagsAreOneSentence(t *testing.T) {
	nowhere := &testCluster{program: shared.program, dir: t.TempDir()}
	for name, test := range map[string]struct {
		args []string
		want string // in the message
	}{
		"no nodes":         {[]string{"up", "--nodes", "0"}, "--nodes 0: want a number from 1 to 200"},
		"too many nodes":   {[]string{"up", "--nodes", "201"}, "--nodes 201"},
		"not a number":     {[]string{"up", "--nodes", "two"}, `invalid argument "two" for "--nodes"`},
		"bad zone":         {[]string{"up", "--zones", "a,,b"}, "--zones"},
		"missing images":   {[]string{"up", "--images", "/no/such/file"}, "/no/such/file"},
		"directory is /":   {[]string{"up", "--data-dir", "/"}, "--data-dir"},
		"long directory":   {[]string{"up", "--data-dir", "/" + strings.Repeat("x", 80)}, "choose a shorter one"},
		"file":             {[]string{"up", "--data-dir", "/etc/passwd"}, "/etc/passwd"},
		"no time":          {[]string{"up", "--timeout", "0s"}, "--timeout"},
		"proxy mode":       {[]string{"up", "--proxy-mode", "smoke"}, "smoke"},
		"no Corefile":      {[]string{"up", "--corefile", "/no/such/file"}, "--corefile: read the Corefile: open /no/such/file"},
		"bad Corefile":     {[]string{"up", "--corefile", "testdata/resolve.c"}, "testdata/resolve.c:"},
		"no DNS":           {[]string{"up", "--dns=false", "--corefile", "Corefile"}, "leave one of the two out"},
		"up's argument":    {[]string{"up", "now"}, `takes no arguments, and got "now"`},
		"unknown command":  {[]string{"upp"}, `unknown command "upp"`},
		"unknown flag":     {[]string{"up", "--node", "1"}, "unknown flag: --node"},
		"output":           {[]string{"status", "-o", "xml"}, `--output "xml": want json, yaml or wide`},
		"status nowhere":   {[]string{"status"}, "no cluster there"},
		"exec nowhere":     {[]string{"exec", "client", "--", "true"}, "no cluster there"},
		"exec nothing":     {[]string{"exec", "client"}, "and a command"},
		"kubectl nowhere":  {[]string{"kubectl", "get", "pods"}, "no cluster there"},
		"down's arguments": {[]string{"down", "all"}, "takes no arguments"},
	} {
		t.Run(name, func(t *testing.T) {
			r := nowhere.run(t.Context(), "", test.args...)
			if r.code == 0 || !strings.Contains(r.stderr, test.want) {
				t.Errorf("%s\nwant a failure that says %q", r, test.want)
			}
			if strings.Count(strings.TrimSpace(r.stderr), "\n") > 0 {
				t.Errorf("the message has several lines:\n%s", r.stderr)
			}
		})
	}
}

func TestDownWithoutAClusterSucceeds(t *testing.T) {
	nowhere := &testCluster{program: shared.program, dir: t.TempDir()}
	if out := nowhere.must(t, "down"); !strings.Contains(out, "Nothing to stop") {
		t.Errorf("down said %q", out)
	}
}
