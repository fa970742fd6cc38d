package proxytest

import (
	"testing"

	"github.com/switchyard-net/switchyard/internal/plan"
)

// TestNothingPassesWithoutBackend runs the table where no rules are: every probe must fail but those of packets that are
// nobody's, which must not.
func TestNothingPassesWithoutBackend(t *testing.T) {
	scenarios := Scenarios(t)
	n := newNetwork(t, probedPorts(scenarios))
	n.silence = answerPatience // nobody is silent
	for _, s := range scenarios {
		remove := n.addExtra(s.ExtraAddrs)
		for _, step := range s.Steps {
			for i, err := range n.probeAll(step.Probes) {
				switch probe := step.Probes[i]; {
				case probe.Want.Verdict == plan.Pass && err != nil:
					t.Errorf("%s%s: %s: %v", s.Name, step.suffix, probe, err)
				case probe.Want.Verdict != plan.Pass && err == nil:
					t.Errorf("%s%s: %s: succeeded without a backend", s.Name, step.suffix, probe)
				}
			}
		}
		remove()
	}
}

// TestTableIsComplete keeps the table at what the project promises: at least 120 probes, each family and protocol, and a
// probe for every rule that a packet can show.
func TestTableIsComplete(t *testing.T) {
	rules, kinds, total := map[int]int{}, map[string]int{}, 0
	for _, s := range Scenarios(t) {
		for _, step := range s.Steps {
			for _, p := range step.Probes {
				total++
				family := "IPv6"
				if p.Packet.To.Addr().Is4() {
					family = "IPv4"
				}
				kinds[family+"/"+p.Packet.Protocol.String()]++
				for _, r := range p.Rules {
					rules[r]++
				}
			}
		}
	}
	t.Logf("%d probes: %v", total, kinds)
	if total < 120 {
		t.Errorf("%d probes; want at least 120", total)
	}
	for _, kind := range []string{"IPv4/TCP", "IPv4/UDP", "IPv4/SCTP", "IPv6/TCP", "IPv6/UDP", "IPv6/SCTP"} {
		if kinds[kind] == 0 {
			t.Errorf("no probe of %s", kind)
		}
	}
	for _, r := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 24, 25, 26, 37} {
		if rules[r] == 0 {
			t.Errorf("no probe shows rule %d", r)
		}
	}
}
