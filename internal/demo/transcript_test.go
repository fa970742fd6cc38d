package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTranscriptFailsOnMismatch(t *testing.T) {
	var out strings.Builder
	tr := transcript{out: &out}
	tr.title("Title")
	tr.command("kubectl get services")
	tr.output("one\ntwo\n")
	tr.check("replicas", "3", "3")
	if err := tr.summary(); err != nil {
		t.Errorf("summary after a check that holds: %v", err)
	}
	tr.check("cluster IP", "10.96.0.80", "None")
	if err := tr.summary(); err == nil || !strings.Contains(err.Error(), "cluster IP") {
		t.Errorf("summary %v, want an error that names the failed check", err)
	}
	want := `
== Title
$ kubectl get services
  | one
  | two
  replicas
    expected  3
    seen      3   ok

1 checks, 0 not as expected
  cluster IP
    expected  10.96.0.80
    seen      None   NOT AS EXPECTED

2 checks, 1 not as expected
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("transcript (-want +got):\n%s", diff)
	}
}

func TestListsAreCompared(t *testing.T) {
	if got := list(missing([]string{"c", "a", "b"}, []string{"b"})); got != "a c" {
		t.Errorf("list = %q, want %q", got, "a c")
	}
	if got := list(nil); got != "none" {
		t.Errorf("list of nothing = %q, want none", got)
	}
}
