package iptables

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

func TestCover(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "",
		"10.0.0.1":                              "10.0.0.1/32",
		"10.0.0.0 10.0.0.1":                     "10.0.0.0/31",
		"10.0.0.1 10.0.0.2":                     "10.0.0.1/32 10.0.0.2/32",
		"10.0.0.0 10.0.0.0 10.0.0.1":            "10.0.0.0/32 10.0.0.1/32",
		"10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7":   "10.0.0.4/30",
		"10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6":   "10.0.0.3/32 10.0.0.4/31 10.0.0.6/32",
		"255.255.255.254 255.255.255.255":       "255.255.255.254/31",
		"fd00::e fd00::f fd00::10 fd00::11":     "fd00::e/127 fd00::10/127",
		"10.0.0.0 10.0.0.1 10.0.0.2 10.0.0.3 a": "10.0.0.0/30",
	} {
		var list []netip.Addr
		for _, s := range strings.Fields(in) {
			if a, err := netip.ParseAddr(s); err == nil {
				list = append(list, a)
			}
		}
		var got []string
		for _, p := range cover(list) {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("cover(%s) (-want +got):\n%s", in, diff)
		}
	}
}

// TestWalkIsShort follows a packet to each of 10,000 Services, and counts the rules that it is compared with: no Service
// is far from the first, whether addresses follow each other or not.
func TestWalkIsShort(t *testing.T) {
	for _, spread := range []bool{false, true} {
		services := many(10000, 1, spread)
		for i, s := range services {
			nodePort := s.Frontends[0]
			nodePort.Key.Addr, nodePort.Key.Port = netip.IPv4Unspecified(), uint16(20000+i)
			nodePort.Masquerade = plan.MasqueradeAlways
			s.Frontends = append(s.Frontends, nodePort)
		}
		fake := &iptables.Fake{}
		mustSync(t, newBackend(t, fake, settings{}), plan.Update{Plan: planOf(testNode(), services...)})
		chains := map[string][]string{}
		for _, line := range saved(t, fake) {
			if rule, ok := strings.CutPrefix(line, "-A "); ok {
				chain, rule, _ := strings.Cut(rule, " ")
				chains[chain] = append(chains[chain], rule)
			}
		}
		for _, root := range []string{frontends, nodePorts} {
			longest := 0
			for _, s := range services {
				f := &s.Frontends[0]
				if root == nodePorts {
					f = &s.Frontends[1]
				}
				longest = max(longest, walk(t, chains, root, f))
			}
			t.Logf("spread %t, %s: at most %d rules", spread, root, longest)
			if longest > 100 {
				t.Errorf("spread %t, %s: %d rules on the way to a Service; want at most 100", spread, root, longest)
			}
		}
	}
}

// walk counts the rules that a packet to a frontend is compared with in a tree.
func walk(t *testing.T, chains map[string][]string, chain string, f *plan.Frontend) int {
	t.Helper()
	seen := 0
	for {
		next := ""
		for _, rule := range chains[chain] {
			seen++
			to := iptables.Target(rule)
			if to != offCluster && to != mark && meant(t, rule, f) {
				next = to
				break
			}
		}
		switch {
		case strings.HasPrefix(next, clusterPool):
			return seen
		case next == "":
			t.Fatalf("%s ends in %s", f.Key, chain)
		}
		chain = next
	}
}

// meant reports whether a rule matches a frontend's packets.
func meant(t *testing.T, rule string, f *plan.Frontend) bool {
	t.Helper()
	words := strings.Fields(rule)
	for i, word := range words[:len(words)-1] {
		switch word {
		case "-d":
			if !netip.MustParsePrefix(words[i+1]).Contains(f.Key.Addr) {
				return false
			}
		case "--dport":
			first, last, isRange := strings.Cut(words[i+1], ":")
			if !isRange {
				last = first
			}
			var from, to uint16
			if _, err := fmt.Sscan(first+" "+last, &from, &to); err != nil {
				t.Fatal(err)
			}
			if f.Key.Port < from || f.Key.Port > to {
				return false
			}
		}
	}
	return true
}

// TestRulesPerService counts what 10,000 Services of 10 endpoints take: kube-proxy has 32 rules for each, and the goal is
// two fifths of that.
func TestRulesPerService(t *testing.T) {
	for _, spread := range []bool{false, true} {
		const n = 10000
		fake := &iptables.Fake{}
		mustSync(t, newBackend(t, fake, settings{}), plan.Update{Plan: planOf(testNode(), many(n, 10, spread)...)})
		rules := 0
		for _, line := range saved(t, fake) {
			if strings.HasPrefix(line, "-A ") {
				rules++
			}
		}
		t.Logf("spread %t: %.2f rules for each Service", spread, float64(rules)/n)
		if rules > 2*32*n/5 {
			t.Errorf("spread %t: %d rules", spread, rules)
		}
	}
}

// TestTreeDependsOnItsEntriesOnly grows and cuts trees at random, and holds each against one that is planted at once.
func TestTreeDependsOnItsEntriesOnly(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 7))
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		grown := tree{root: frontends, kind: addressNode}
		have := map[string]bool{}
		for range 200 {
			removed := map[string]bool{}
			var add []entry
			for range rng.IntN(20) {
				key := addressKey(address(f, byte(rng.IntN(3)), byte(rng.IntN(256))))
				if removed[key] {
					continue
				}
				removed[key] = true
				if have[key] = rng.IntN(3) > 0; have[key] {
					add = append(add, entry{key: key})
				}
			}
			grown, _ = grown.update(func(e *entry) bool { return removed[e.key] }, add)
			planted := tree{root: frontends, kind: addressNode}
			for key, there := range have {
				if there {
					planted.entries = append(planted.entries, entry{key: key})
				}
			}
			slices.SortFunc(planted.entries, compareEntries)
			if diff := cmp.Diff(shape(&planted), shape(&grown)); diff != "" {
				t.Fatalf("-planted +grown:\n%s", diff)
			}
		}
	}
}

// shape returns the chains of a tree and how many entries are below each.
func shape(t *tree) (out []string) {
	t.walk(t.all(), func(n node) { out = append(out, fmt.Sprintf("%s: %d", t.name(n), n.hi-n.lo)) })
	return out
}
