package route_test

import (
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/kernel/route"
)

// TestDivert adds, finds, repairs and removes the rule and the route of both families.
func TestDivert(t *testing.T) {
	ns, h := host(t)
	d := route.Diversion{Mark: 0x8000, Table: 10264, Priority: 99}
	show := func() (text string) {
		for _, family := range []string{"-4", "-6"} {
			for _, what := range [][]string{{"rule"}, {"route", "show", "table", "10264"}} {
				out, _ := ns.Command(t.Context(), "ip", append([]string{family}, what...)...).CombinedOutput()
				for line := range strings.Lines(string(out)) {
					if strings.HasPrefix(line, "99:") || strings.HasPrefix(line, "local default") {
						text += strings.Join(strings.Fields(line), " ") + "\n"
					}
				}
			}
		}
		return text
	}
	divert := func(when string, d route.Diversion, want bool) {
		t.Helper()
		if changed, err := h.Divert(d); err != nil || changed != want {
			t.Errorf("%s: changed %t, %v; want %t", when, changed, err, want)
		}
		if got := show(); strings.Count(got, "fwmark") != 2 || strings.Count(got, "local default dev lo") != 2 {
			t.Errorf("%s:\n%s; want a rule and a route of each family", when, got)
		}
	}
	divert("at first", d, true)
	divert("again", d, false)
	for _, damage := range []string{"-4 rule del pref 99", "-6 rule del pref 99", "-4 route flush table 10264", "-6 route flush table 10264"} {
		if out, err := ns.Command(t.Context(), "ip", strings.Fields(damage)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", damage, err, out)
		}
		divert("after ip "+damage, d, true)
	}
	d.Mark = 0x10000
	divert("with another mark", d, true)
	for range 2 {
		if err := h.Undivert(d); err != nil {
			t.Fatal(err)
		}
		if got := show(); got != "" {
			t.Errorf("after Undivert:\n%s", got)
		}
	}
}
