package proxytest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy"
)

// NewBackend returns a backend that programs the kernel of a namespace, which is not the caller's own. It is called
// several times for one namespace, as a restarted process would be.
type NewBackend func(t testing.TB, node *lab.Namespace) proxy.Backend

// Run holds a backend against the packet table in real network namespaces, and against what more than one packet shows:
// affinity, established connections, changes under load, restarts. The parts of behaviour in without are left out: a mode
// cannot do what they show, and docs/modes.md says so.
func Run(t *testing.T, newBackend NewBackend, without ...string) { run(t, newBackend, without...) }

// RunSCTP holds a backend against the packets of the table that are SCTP: in a guest, with SCTP sockets of its kernel, where
// the other packets would show what they show on this one.
func RunSCTP(t *testing.T, newBackend NewBackend) {
	scenarios := Scenarios(t)
	for _, s := range scenarios {
		for i := range s.Steps {
			step := &s.Steps[i]
			step.Probes = slices.DeleteFunc(step.Probes, func(p Probe) bool { return p.Packet.Protocol != model.SCTP })
		}
	}
	scenarios = slices.DeleteFunc(scenarios, func(s *Scenario) bool { return len(probedPorts([]*Scenario{s})) == 0 })
	newNetwork(t, probedPorts(scenarios)).packets(t, scenarios, newBackend)
}

// run is Run without some parts of behaviour.
func run(t *testing.T, newBackend NewBackend, without ...string) {
	scenarios := Scenarios(t)
	n := newNetwork(t, append(probedPorts(scenarios), 80, 30051)) // the latter of behaviour
	n.packets(t, scenarios, newBackend)
	t.Run("Behaviour", func(t *testing.T) { n.behaviour(t, newBackend, without) })
}

// packets holds a backend against scenarios.
func (n *network) packets(t *testing.T, scenarios []*Scenario, newBackend NewBackend) {
	t.Run("Packets", func(t *testing.T) {
		for _, s := range scenarios {
			t.Run(s.Name, func(t *testing.T) { n.scenario(t, s, newBackend) })
		}
	})
}

// probedPorts returns the ports that the table sends packets to.
func probedPorts(scenarios []*Scenario) []uint16 {
	var ports []uint16
	for _, s := range scenarios {
		for _, step := range s.Steps {
			for _, p := range step.Probes {
				ports = append(ports, p.Packet.To.Port())
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// scenario runs the steps of one scenario with a backend of its own.
func (n *network) scenario(t *testing.T, s *Scenario, newBackend NewBackend) {
	defer n.addExtra(s.ExtraAddrs)()
	backend := newBackend(t, n.namespaces[thisNode])
	planner := s.Planner()
	for _, step := range s.Steps {
		n.sync(t, backend, planner, step)
		outcomes := n.probeAll(step.Probes)
		for i, probe := range step.Probes {
			t.Run(probe.String(), func(t *testing.T) {
				if outcomes[i] != nil {
					t.Error(outcomes[i])
				}
			})
		}
	}
	if err := backend.Cleanup(context.Background()); err != nil {
		t.Errorf("Cleanup: %v", err)
	}
}

// sync brings a backend to a step of a scenario.
func (n *network) sync(t *testing.T, backend proxy.Backend, planner *plan.Planner, step Step) {
	t.Helper()
	p, changed, full := planner.Apply(step.Snapshot, step.Changes)
	report, err := backend.Sync(t.Context(), plan.Update{Plan: p, Changed: changed, Full: full})
	if err != nil {
		t.Fatalf("Sync%s: %v", step.suffix, err)
	}
	for _, u := range report.Unsupported {
		t.Logf("unsupported: %s (%s): %s", u.Capability, u.Consequence, u.Remedy)
	}
}

// probeAll runs probes at once and returns what is wrong with each; nil: nothing.
func (n *network) probeAll(probes []Probe) []error {
	errs := make([]error, len(probes))
	slots := make(chan struct{}, 32)
	var running sync.WaitGroup
	for i, p := range probes {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = n.probe(p)
		})
	}
	running.Wait()
	return errs
}

// probe sends a probe's packet as often as it takes to be sure, and returns what is not as expected.
func (n *network) probe(p Probe) error {
	switch p.Want.Verdict {
	case plan.Forward:
		return n.probeForward(p)
	case plan.Drop:
		return n.expect(p, 1, n.silence, func(o outcome) bool { return o.silent })
	case plan.Reject:
		return n.expect(p, 3, answerPatience, func(o outcome) bool { return o.refused })
	case plan.Pass:
		return n.expect(p, 3, answerPatience, func(o outcome) bool {
			return o.err == nil && o.server == p.Want.Answers && o.source == p.Packet.From
		})
	}
	return fmt.Errorf("bug: verdict %s cannot be probed", p.Want.Verdict)
}

// expect sends a packet some times; each must come out well.
func (n *network) expect(p Probe, times int, patience time.Duration, well func(outcome) bool) error {
	for range times {
		if o := n.connect(p.from, p.Packet, patience); !well(o) {
			return fmt.Errorf("%s; want %s %s", o, p.Want.Verdict, p.Want.Answers)
		}
	}
	return nil
}

// maxAttempts is how many connections may be made until every endpoint has been seen. Of three endpoints, one is missed
// by chance with a probability of 3 * (2/3)^100, about 10^-17.
const maxAttempts = 100

// probeForward connects until every endpoint has answered, and a few times more. None but them may answer, each must see
// the right source address, and a client with affinity must see only one.
func (n *network) probeForward(p Probe) error {
	seen := map[string]bool{}
	for attempt := 1; attempt <= maxAttempts; attempt++ {
		o := n.connect(p.from, p.Packet, answerPatience)
		masqueraded, expected := p.Want.Endpoints[o.server]
		if o.err != nil || !expected {
			return fmt.Errorf("connection %d: %s; want an answer of %v", attempt, o, p.Want.Endpoints)
		}
		want := p.Packet.From
		if masqueraded {
			want = towards(o.server, model.FamilyOf(p.Packet.To.Addr()))
		}
		if o.source != want {
			return fmt.Errorf("connection %d: %s; want it to see %s", attempt, o, want)
		}
		seen[o.server] = true
		enough := len(seen) == len(p.Want.Endpoints) && attempt >= 4*len(p.Want.Endpoints)
		if p.Want.Sticky {
			if len(seen) > 1 {
				return fmt.Errorf("connection %d: another endpoint, %s, in spite of session affinity", attempt, o)
			}
			enough = attempt == 12
		}
		if enough {
			return nil
		}
	}
	return fmt.Errorf("after %d connections only %v have answered; want all of %v", maxAttempts, seen, p.Want.Endpoints)
}
