package proxytest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// oracle compares the probes that show a rule (0: all) with plan.Trace.
func oracle(t *testing.T, rule int) {
	t.Helper()
	ran := 0
	for _, s := range Scenarios(t) {
		planner := s.Planner()
		for _, step := range s.Steps {
			plan, _, _ := planner.Apply(step.Snapshot, step.Changes)
			for _, probe := range step.Probes {
				if rule != 0 && !probe.shows(rule) {
					continue
				}
				ran++
				trace := plan.Trace(probe.Packet)
				diff := cmp.Diff(probe.Want, expectation(trace), cmpopts.IgnoreFields(Expectation{}, "Answers"))
				if diff != "" {
					t.Errorf("%s%s: %s\n(-table +trace, %s)\n%s", s.Name, step.suffix, probe, trace.Reason, diff)
				}
			}
		}
	}
	if ran == 0 {
		t.Errorf("no probe shows rule %d", rule)
	}
}
