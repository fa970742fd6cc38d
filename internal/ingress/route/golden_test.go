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

// TestHost has who serves a name, by the golden manifests: hosts, wildcards for one label, aliases, redirects.
func TestHost(t *testing.T) {
	names, _ := route.Build(read(t, "testdata/golden/names.yaml"), config())
	paths, _ := route.Build(read(t, "testdata/golden/paths.yaml"), config())
	for _, c := range []struct {
		table      *route.Table
		name, want string
	}{
		{names, "first.example.com", "first.example.com"},
		{names, "alias.example.com", "first.example.com"},
		{names, "taken.example.com", "taken.example.com"},
		{names, "x.y.deep.example.com", "first.example.com"},
		{names, "deep.example.com", ""},
		{names, "dot.example.com", "first.example.com"},
		{names, "a.b.dot.example.com", "first.example.com"},
		{names, "www12.example.com", "first.example.com"},
		{names, "www.first.example.com", "www.first.example.com"},
		{names, "www.taken.example.com", "www.taken.example.com"},
		{names, "nobody.example.com", ""},
		{names, "", ""},
		{paths, "shop.example.com", "shop.example.com"},
		{paths, "x.example.com", "*.example.com"},
		{paths, "x.y.example.com", ""},
		{paths, "example.com", ""},
		{paths, ".example.com", ""},
	} {
		h := c.table.Host(c.name)
		if h.Name != c.want {
			t.Errorf("Host(%q) is %q, want %q", c.name, h.Name, c.want)
		}
		if h.Match("/any/path") == nil || h.Match("/") == nil {
			t.Errorf("Host(%q) has no location for every path", c.name)
		}
	}
	if www := names.Host("www.first.example.com").WWW; www != "first.example.com" {
		t.Errorf("www.first.example.com is redirected to %q", www)
	}
}
