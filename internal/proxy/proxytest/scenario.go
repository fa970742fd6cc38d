package proxytest

import (
	"embed"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

//go:embed testdata/*.txtar testdata/cluster.yaml
var testdata embed.FS

// Scenario is one file of the packet table.
type Scenario struct {
	// Name is the file's name without its extension.
	Name   string
	Config plan.Config
	// ExtraAddrs are further addresses that node-1 has in this scenario, on its loopback interface.
	ExtraAddrs []netip.Addr
	Steps      []Step
	archive    *txtar.Archive
}

// Step is one state of the cluster, and what must happen to packets in it.
type Step struct {
	Snapshot *model.Snapshot
	// Changes says in what Snapshot differs from that of the step before.
	Changes model.Changes
	Probes  []Probe
	// suffix of the names of the step's sections: "", ".2", ".3", …
	suffix string
}

// Scenarios returns all files of the packet table, by name. A mistake in one fails the test.
func Scenarios(t testing.TB) []*Scenario {
	t.Helper()
	entries, err := testdata.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var all []*Scenario
	for _, e := range entries {
		if path.Ext(e.Name()) != ".txtar" {
			continue
		}
		data, err := testdata.ReadFile("testdata/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseScenario(strings.TrimSuffix(e.Name(), ".txtar"), data)
		if err != nil {
			t.Fatalf("testdata/%s: %v", e.Name(), err)
		}
		all = append(all, s)
	}
	return all
}

func parseScenario(name string, data []byte) (*Scenario, error) {
	s := &Scenario{Name: name, archive: txtar.Parse(data)}
	config, err := parseConfig(s.section("config.yaml"))
	if err != nil {
		return nil, fmt.Errorf("config.yaml: %w", err)
	}
	s.Config, s.ExtraAddrs = config.plan, config.ExtraAddresses
	objects, err := baseObjects()
	if err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		suffix := ""
		if n > 1 {
			suffix = fmt.Sprintf(".%d", n)
		}
		if !s.has("probes" + suffix) {
			break
		}
		step, err := s.step(objects, suffix)
		if err != nil {
			return nil, err
		}
		s.Steps = append(s.Steps, step)
	}
	if len(s.Steps) == 0 {
		return nil, fmt.Errorf("there is no section probes")
	}
	return s, nil
}

// step reads the sections of one step, whose objects come on top of those there are.
func (s *Scenario) step(objects *objects, suffix string) (Step, error) {
	name := "objects" + suffix + ".yaml"
	if err := objects.add(s.section(name)); err != nil {
		return Step{}, fmt.Errorf("%s: %w", name, err)
	}
	if err := objects.remove(s.section("delete" + suffix)); err != nil {
		return Step{}, fmt.Errorf("delete%s: %w", suffix, err)
	}
	probes, err := parseProbes(s.section("probes" + suffix))
	if err != nil {
		return Step{}, fmt.Errorf("probes%s: %w", suffix, err)
	}
	snap, changes := objects.snapshot()
	return Step{Snapshot: snap, Changes: changes, Probes: probes, suffix: suffix}, nil
}

func (s *Scenario) has(section string) bool {
	return slices.ContainsFunc(s.archive.Files, func(f txtar.File) bool { return f.Name == section })
}

// section returns the text of a section; nothing if there is none.
func (s *Scenario) section(name string) string {
	for _, f := range s.archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// Planner returns a planner for node-1 as the scenario configures it.
func (s *Scenario) Planner() *plan.Planner {
	return plan.NewPlanner(s.Config, append(nodeAddrs(), s.ExtraAddrs...))
}
