package main

import (
	"fmt"

	"github.com/switchyard-net/switchyard/bench/report"
)

// ratio is one goal: a value over another, or alone, with a bound on the quotient.
type ratio struct {
	text     string
	of, over value // over may be the zero value
	limit    float64
	atLeast  bool
}

// value names one measured value.
type value struct {
	system, mode, name, metric string
	services                   int
}

// goalServices is the number of Services for which the goals are set.
const goalServices = 10000

// goals compares with the numbers that the project has set itself, as far as they were measured.
func goals(rows []report.Row, sizes []int) []string {
	largest, smallest := sizes[len(sizes)-1], sizes[0]
	if largest < goalServices {
		return nil
	}
	ratios := append(nftablesGoals(largest), otherGoals(largest)...)
	if largest != smallest {
		for _, metric := range []string{"p50", "cpu each"} {
			ratios = append(ratios, ratio{
				fmt.Sprintf("nftables: endpoint change %s, from %d to %d Services", metric, smallest, largest),
				ours("nftables", "endpoint change", metric, largest), ours("nftables", "endpoint change", metric, smallest), 1.3, false,
			})
		}
	}
	var lines []string
	for _, r := range ratios {
		if line, ok := r.line(rows); ok {
			lines = append(lines, line)
		}
	}
	return lines
}

func ours(mode, name, metric string, n int) value {
	return value{"switchyard", mode, name, metric, n}
}

func theirs(mode, name, metric string, n int) value {
	return value{"kube-proxy", mode, name, metric, n}
}

// besideKubeProxy is a goal for a value, as a part of kube-proxy's in the same mode.
func besideKubeProxy(mode, name, metric string, n int, limit float64) ratio {
	return ratio{fmt.Sprintf("%s: %s %s, of kube-proxy's", mode, name, metric), ours(mode, name, metric, n), theirs(mode, name, metric, n), limit, false}
}

func nftablesGoals(n int) []ratio {
	const mode, last, rate = "nftables", "connections last Service", "rate"
	return []ratio{
		besideKubeProxy(mode, "start", "to last rule", n, 1.0/30),
		{"nftables: endpoint change p99, of kube-proxy's p50", ours(mode, "endpoint change", "p99", n), theirs(mode, "endpoint change", "p50", n), 1.0 / 20, false},
		besideKubeProxy(mode, "memory", "rss", n, 1.0/3),
		{"nftables: connections through the last Service, of direct", ours(mode, last, rate, n), ours(mode, "connections direct", rate, n), 0.9, true},
		{"nftables: connections through the last Service, of kube-proxy's", ours(mode, last, rate, n), theirs(mode, last, rate, n), 1, true},
	}
}

func otherGoals(n int) []ratio {
	const mode = "iptables"
	first := func(which string) value { return ours(mode, "first packet", which+" Service p50", n) }
	return []ratio{
		besideKubeProxy(mode, "start", "to last rule", n, 1.0/10),
		besideKubeProxy(mode, "endpoint change", "p50", n, 1.0/3),
		besideKubeProxy(mode, "memory", "rss", n, 1.0/3),
		besideKubeProxy(mode, "ruleset", "rules", n, 2.0/5),
		{"iptables: first packet to the last Service, of that to the first", first("last"), first("first"), 1.2, false},
		{"iptables-nft: seconds from start to last rule", ours("iptables-nft", "start", "to last rule", n), value{}, 15, false},
		besideKubeProxy("ipvs", "start", "to last rule", n, 1.0/5),
		besideKubeProxy("ipvs", "endpoint change", "p50", n, 1.0/10),
	}
}

func (r ratio) line(rows []report.Row) (string, bool) {
	of, known := r.of.in(rows)
	over, alsoKnown := 1.0, true
	if r.over != (value{}) {
		over, alsoKnown = r.over.in(rows)
	}
	if !known || !alsoKnown || over == 0 {
		return "", false
	}
	quotient := of / over
	bound, met := "at most", quotient <= r.limit
	if r.atLeast {
		bound, met = "at least", quotient >= r.limit
	}
	verdict := "met"
	if !met {
		verdict = "MISSED"
	}
	return fmt.Sprintf("goal %-6s %s: %.3g (%s %.3g)", verdict, r.text, quotient, bound, r.limit), true
}

func (v value) in(rows []report.Row) (float64, bool) {
	return report.Find(rows, v.system, v.mode, v.name, v.services, v.metric)
}
