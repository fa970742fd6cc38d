package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitDataDir(t *testing.T) {
	t.Setenv(dataDirEnv, "/from/env")
	type answer struct {
		dir  string
		rest []string
	}
	for name, test := range map[string]struct {
		args []string
		want answer
	}{
		"none":          {[]string{"get", "pods"}, answer{"/from/env", []string{"get", "pods"}}},
		"two words":     {[]string{"--data-dir", "/d", "get"}, answer{"/d", []string{"get"}}},
		"one word":      {[]string{"--data-dir=/d", "get"}, answer{"/d", []string{"get"}}},
		"kubectl's own": {[]string{"exec", "p", "--", "--data-dir", "x"}, answer{"/from/env", []string{"exec", "p", "--", "--data-dir", "x"}}},
	} {
		dir, rest, err := splitDataDir(test.args)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, answer{dir, rest}, cmp.AllowUnexported(answer{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, _, err := splitDataDir([]string{"--data-dir"}); err == nil {
		t.Error("--data-dir without a directory was accepted")
	}
}
