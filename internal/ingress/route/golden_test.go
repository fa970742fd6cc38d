package route_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/manifest"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// config is that of the golden tables.
func config() route.Config {
	return route.Config{
		ConfigMap:          model.Ref{Namespace: "ingress", Name: "controller"},
		TCP:                model.Ref{Namespace: "ingress", Name: "tcp-services"},
		UDP:                model.Ref{Namespace: "ingress", Name: "udp-services"},
		DefaultCertificate: model.Ref{},
		Reserved:           []uint16{80, 443},
		Now:                func() time.Time { return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) },
	}
}

// TestGolden compares tables, and what is wrong in them, with testdata/golden/*.txt.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			table, problems := route.Build(read(t, file), config())
			got := dump(table, problems)
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
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
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
}

// read reads a manifest that has to be good.
func read(t testing.TB, file string) *model.Snapshot {
	t.Helper()
	o, err := manifest.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range o.Errors {
		t.Error(err)
	}
	return &o.Snapshot
}

func dump(table *route.Table, problems []route.Problem) string {
	var b strings.Builder
	b.WriteString(table.Dump())
	b.WriteString("problems:\n")
	for _, p := range problems {
		fmt.Fprintf(&b, "  %s %s: %s: %s", p.Kind, p.Ref, p.Reason, p.Message)
		if p.Denied {
			b.WriteString(" (denied)")
		}
		b.WriteString("\n")
	}
	return b.String()
}
