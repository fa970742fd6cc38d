package leftovers

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestRule33_RemovalOfRecordedRules compares the restore script for what a real kube-proxy and others left.
func TestRule33_RemovalOfRecordedRules(t *testing.T) {
	files, err := filepath.Glob("testdata/*.save")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			saved, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := removal(string(saved))
			golden := strings.TrimSuffix(file, ".save") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("script (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRuleChains(t *testing.T) {
	for rule, want := range map[string][2]string{
		`-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES`: {"PREROUTING", "KUBE-SERVICES"},
		`-A INPUT -m comment --comment "say \"-j KUBE-SERVICES\" here" -j ACCEPT`:          {"INPUT", "ACCEPT"},
		`-A FORWARD -g KUBE-FORWARD`: {"FORWARD", "KUBE-FORWARD"},
		`-A FORWARD -m comment`:      {"FORWARD", ""},
	} {
		chain, target := ruleChains(rule)
		if diff := cmp.Diff(want, [2]string{chain, target}); diff != "" {
			t.Errorf("%s: chain, target (-want +got):\n%s", rule, diff)
		}
	}
}

// FuzzRemoval checks that no script touches a chain that is not kube-proxy's.
func FuzzRemoval(f *testing.F) {
	f.Add("*nat\n:KUBE-SERVICES - [0:0]\n:MINE - [0:0]\n-A MINE -j KUBE-SERVICES\nCOMMIT\n")
	f.Add("*nat\n-A \"\\")
	f.Fuzz(func(t *testing.T, saved string) {
		script, _ := removal(saved)
		for line := range strings.Lines(script) {
			name, isDeletion := strings.CutPrefix(strings.TrimSpace(line), "-X ")
			if isDeletion && !isKubeProxyChain(name) {
				t.Errorf("deletes chain %q", name)
			}
		}
	})
}
