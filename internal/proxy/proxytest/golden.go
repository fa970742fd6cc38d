package proxytest

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/switchyard-net/switchyard/internal/plan"
)

// Golden compares a section of each scenario (and SECTION.2, SECTION.3, … for its later steps) with what dump returns for
// the plan of that step. With update it writes the sections instead. names selects scenarios; nil: all.
//
// Package plan has the section "plan"; a backend has one of its own name, in as many scenarios as it likes.
func Golden(t *testing.T, section string, update bool, names []string, dump func(t testing.TB, p *plan.Plan) string) {
	t.Helper()
	for _, s := range Scenarios(t) {
		if names != nil && !slices.Contains(names, s.Name) {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			planner := s.Planner()
			for _, step := range s.Steps {
				p, _, _ := planner.Apply(step.Snapshot, step.Changes)
				got := dump(t, p)
				if update {
					s.setSection(section+step.suffix, got)
					continue
				}
				if diff := cmp.Diff(s.section(section+step.suffix), got); diff != "" {
					t.Errorf("section %s (-want +got; the test's -update rewrites it)\n%s", section+step.suffix, diff)
				}
			}
			if update {
				s.write(t)
			}
		})
	}
}

func (s *Scenario) setSection(name, text string) {
	for i := range s.archive.Files {
		if s.archive.Files[i].Name == name {
			s.archive.Files[i].Data = []byte(text)
			return
		}
	}
	s.archive.Files = append(s.archive.Files, txtar.File{Name: name, Data: []byte(text)})
}

// write writes the scenario's file where the source of this package is.
func (s *Scenario) write(t *testing.T) {
	t.Helper()
	_, source, _, _ := runtime.Caller(0)
	file := filepath.Join(filepath.Dir(source), "testdata", s.Name+".txtar")
	if err := os.WriteFile(file, txtar.Format(s.archive), 0o644); err != nil {
		t.Fatalf("write the golden file: %v", err)
	}
}
