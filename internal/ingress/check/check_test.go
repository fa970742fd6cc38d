package check

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/internal/ingress/manifest"
	"github.com/switchyard-net/switchyard/internal/model"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden compares reports with testdata/*.txt. The manifests whose name begins with "whole-" are checked as a whole cluster.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			o, err := manifest.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			config := Config{Partial: !strings.HasPrefix(filepath.Base(file), "whole-"), Owns: func(i *model.Ingress) bool { return i.Class != "other" }}
			if ref := (model.Ref{Namespace: "ingress-nginx", Name: "ingress-nginx-controller"}); hasConfigMap(o, ref) {
				config.ConfigMap = ref
			}
			r := Check(o, config)
			var got strings.Builder
			if err := r.Text(&got); err != nil {
				t.Fatal(err)
			}
			got.WriteString("worst: " + r.Worst().String() + "\n")
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

func hasConfigMap(o *manifest.Objects, ref model.Ref) bool {
	_, ok := o.Snapshot.ConfigMaps.Get(ref)
	return ok
}

func TestReportAsYAML(t *testing.T) {
	o, err := manifest.Read("testdata/migrate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(Check(o, Config{Partial: true}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kind: Ingress", "level: breaks", "sameAnnotations:", "reason: UnsupportedPattern"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}
