package main

import (
	"fmt"

	"github.com/switchyard-net/switchyard/bench/report"
)

// goalServices is the number of Services for which the goals are set.
const goalServices = 10000

// goal is a value, ours or the quotient of CoreDNS's and ours, with its bound.
type goal struct {
	text  string
	value func(ours, theirs valueOf) (float64, bool)
	limit float64
	// atLeast is true for a lower bound.
	atLeast bool
}

// valueOf finds a value of a system.
type valueOf func(name, metric string) (float64, bool)

// goals compares with the numbers that the project has set itself, as far as they were measured.
func goals(rows []report.Row, services, queries int) []string {
	if services < goalServices {
		return nil
	}
	find := func(s system) valueOf {
		return func(name, metric string) (float64, bool) {
			return report.Find(rows, s.name, s.mode, name, services, metric)
		}
	}
	node := find(system{name: "switchyard", mode: "node"})
	all := []goal{
		{"p99 of A at 5,000 a second, of CoreDNS's", quotient("A at 5,000 a second", "p99", false), 1.0 / 3, false},
		{"slice write to answer, p99 in ms", alone("slice write to answer", "p99"), 20, false},
		{"questions under churn", alone("under churn", "questions"), float64(queries), true},
		{"wrong, stale or missing answers under churn", alone("under churn", "wrong, stale or missing"), 0, false},
		{"MB that DNS adds to a node", func(valueOf, valueOf) (float64, bool) { return node("memory of a node", "rss added by DNS") }, 20, false},
	}
	for _, l := range loads(services) {
		if l.cluster {
			all = append(all, goal{l.name + ": questions per processor second, times CoreDNS's", quotient(l.name, "cpu each", true), 12, true})
		}
	}
	var lines []string
	for _, g := range all {
		if line, ok := g.line(find(switchyard), find(coredns)); ok {
			lines = append(lines, line)
		}
	}
	return lines
}

func alone(name, metric string) func(ours, theirs valueOf) (float64, bool) {
	return func(ours, _ valueOf) (float64, bool) { return ours(name, metric) }
}

// quotient is ours divided by theirs, or the other way round.
func quotient(name, metric string, inverse bool) func(ours, theirs valueOf) (float64, bool) {
	return func(ours, theirs valueOf) (float64, bool) {
		a, known := ours(name, metric)
		b, alsoKnown := theirs(name, metric)
		if inverse {
			a, b = b, a
		}
		return a / b, known && alsoKnown && b != 0
	}
}

func (g goal) line(ours, theirs valueOf) (string, bool) {
	value, known := g.value(ours, theirs)
	if !known {
		return "", false
	}
	bound, met := "at most", value <= g.limit
	if g.atLeast {
		bound, met = "at least", value >= g.limit
	}
	verdict := "met"
	if !met {
		verdict = "MISSED"
	}
	return fmt.Sprintf("goal %-6s %s: %.3g (%s %.3g)", verdict, g.text, value, bound, g.limit), true
}
