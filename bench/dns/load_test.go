package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/bench/report"
)

const dnsperfOutput = `
Statistics:

  Queries sent:         109222
  Queries completed:    109059 (99.85%)
  Queries lost:         163 (0.15%)

  Response codes:       NOERROR 109000 (99.95%), NXDOMAIN 59 (0.05%)
  Average packet size:  request 53, response 69
  Run time (s):         1.000087
  Queries per second:   109049.512692
`

func TestReadDnsperf(t *testing.T) {
	got, err := readDnsperf(dnsperfOutput)
	if err != nil {
		t.Fatal(err)
	}
	want := outcome{completed: 109059, lost: 163, perSecond: 109049.512692, rcodes: map[string]int{"NOERROR": 109000, "NXDOMAIN": 59}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Error(diff)
	}
	if _, err := readDnsperf("Error: no such host"); err == nil {
		t.Error("what is no result is taken for one")
	}
}

func TestGoals(t *testing.T) {
	var rows []report.Row
	add := func(s system, name, metric string, value float64) {
		rows = append(rows, report.Row{System: s.name, Mode: s.mode, Case: name, Services: goalServices, Metric: metric, Value: value})
	}
	add(switchyard, "A", "cpu each", 4)
	add(coredns, "A", "cpu each", 50)
	add(switchyard, "SRV", "cpu each", 5)
	add(coredns, "SRV", "cpu each", 50)
	add(switchyard, "cached forward", "cpu each", 4)
	add(coredns, "cached forward", "cpu each", 4)
	add(switchyard, "A at 5,000 a second", "p99", 100)
	add(coredns, "A at 5,000 a second", "p99", 400)
	add(switchyard, "slice write to answer", "p99", 25)
	add(switchyard, "under churn", "questions", 1e6)
	add(switchyard, "under churn", "wrong, stale or missing", 0)
	add(system{name: "switchyard", mode: "node"}, "memory of a node", "rss added by DNS", 21)
	want := []string{
		"goal met    p99 of A at 5,000 a second, of CoreDNS's: 0.25 (at most 0.333)",
		"goal MISSED slice write to answer, p99 in ms: 25 (at most 20)",
		"goal met    questions under churn: 1e+06 (at least 1e+06)",
		"goal met    wrong, stale or missing answers under churn: 0 (at most 0)",
		"goal MISSED MB that DNS adds to a node: 21 (at most 20)",
		"goal met    A: questions per processor second, times CoreDNS's: 12.5 (at least 12)",
		"goal MISSED SRV: questions per processor second, times CoreDNS's: 10 (at least 12)",
	}
	if diff := cmp.Diff(want, goals(rows, goalServices, 1_000_000)); diff != "" {
		t.Error(diff)
	}
	if got := goals(rows, 1000, 1_000_000); got != nil {
		t.Errorf("goals of 1,000 Services: %q", got)
	}
}
