package settings

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSpecsAreTheAnnotationsOfIngressNginx holds the table against the list of ingress-nginx (docs/user-guide/nginx-configuration/
// annotations-risk.md): testdata/annotations has a name and the initial of its risk on each line.
func TestSpecsAreTheAnnotationsOfIngressNginx(t *testing.T) {
	data, err := os.ReadFile("testdata/annotations")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(data)), "\n")
	var got []string
	for s := range Specs() {
		got = append(got, s.Name+" "+s.Risk.String()[:1])
		if s.valid == nil || s.Group == "" {
			t.Errorf("%s has no validator or group", s.Name)
		}
		if s.Verdict != Works && s.Note == "" {
			t.Errorf("%s is not honoured, and does not say why", s.Name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if len(got) != 136 {
		t.Errorf("%d annotations, want 136", len(got))
	}
}
