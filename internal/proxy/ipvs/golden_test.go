package ipvs

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

var update = flag.Bool("update", false, "rewrite golden files")

// dump returns all that a kernel holds of ours.
func (f *fakes) dump(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(f.servers.Dump())
	b.WriteString(f.sets.Dump())
	for _, family := range []model.Family{model.IPv4, model.IPv6} {
		err := f.rules.Save(t.Context(), family, "", func(line []byte) error {
			b.WriteString(family.String() + " " + string(line) + "\n")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestGolden holds what becomes of a plan with every feature against a file.
func TestGolden(t *testing.T) {
	f := newFakes(t)
	b := newBackend(t, f.deps())
	mustSync(t, b, plan.Update{Plan: planOf(testNode(), everything()...)})
	const file = "testdata/everything.golden"
	got := f.dump(t)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if r := mustSync(t, b, plan.Update{Plan: planOf(testNode(), everything()...), Full: true}); r.Operations != 0 {
		t.Errorf("a comparison of everything made %d changes", r.Operations)
	}
	if err := b.Cleanup(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.servers.Dump() + f.sets.Dump(); got != "" || len(f.routes.marks) > 0 {
		t.Errorf("after Cleanup: %s, routes %v", got, f.routes.marks)
	}
	if strings.Contains(f.dump(t), prefix) {
		t.Errorf("after Cleanup:\n%s", f.dump(t))
	}
}
