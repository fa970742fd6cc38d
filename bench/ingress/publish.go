package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/switchyard-net/switchyard/bench/report"
)

// publish prints what was measured and how it stands against the goals, and stores the values.
func publish(ctx context.Context, o options, r *results) error {
	fmt.Printf("\nIngress engines, one core and one thread each, on %d cores\n", runtime.NumCPU())
	for _, command := range [][]string{{"uname", "-sr"}, {"nginx", "-v"}, {"haproxy", "-v"}} {
		// A version that cannot be had is shown as such, and spoils no measurement.
		out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		first, _, _ := strings.Cut(string(out), "\n")
		if err != nil {
			first = err.Error()
		}
		fmt.Printf("  %s\n", first)
	}
	fmt.Printf(`  as many requests as each takes: %d connections (HTTP/2: 8 with %d streams each), medians of %d turns of %s
  processor time is that of the proxy's process, user and system, for each request
  a change is a new table of one Ingress or slice that changed, made, put in force, and seen by a request
  "Services" is the number of Ingresses

`, connections, streams, o.rounds, o.length)
	if err := report.Table(os.Stdout, r.rows); err != nil {
		return err
	}
	fmt.Println()
	for _, line := range goals(r.rows) {
		fmt.Println(line)
	}
	return report.Write(o.out, "ingress", r.rows)
}

// goals returns a line for each goal of which both sides were measured.
func goals(rows []report.Row) []string {
	var lines []string
	add := func(what string, value, limit float64, unit string) {
		verdict := "reached"
		if value > limit {
			verdict = "MISSED"
		}
		lines = append(lines, fmt.Sprintf("%-8s %s: %.2f%s, at most %.2f%s", verdict, what, value, unit, limit, unit))
	}
	cost := func(system, name string, ingresses int) (float64, bool) {
		return report.Find(rows, system, "", name, ingresses, "processor time")
	}
	for _, g := range []struct {
		load, peer string
		limit      float64
	}{
		{"GET 128 B", "nginx", 1},
		{"GET 128 B", "haproxy", 1},
		{"GET 128 B, TLS", "nginx", 1.3},
		{"GET 128 B, HTTP/2 TLS", "nginx", 1.3},
		{"GET 1 MB", "nginx", 1},
	} {
		ours, ok := cost("switchyard", g.load, 1)
		theirs, ok2 := cost(g.peer, g.load, 1)
		if ok && ok2 {
			add(g.load+", processor time beside "+g.peer, ours/theirs, g.limit, "")
		}
	}
	one, ok := cost("switchyard", "GET 128 B", 1)
	if many, ok2 := cost("switchyard", "GET 128 B", 10000); ok && ok2 {
		add("GET 128 B, 10,000 Ingresses beside one", many/one, 1.2, "")
	}
	if rss, ok := report.Find(rows, "switchyard", "", "after the loads", 10000, "memory"); ok {
		add("memory at 10,000 Ingresses", rss, 150, " MB")
	}
	for _, what := range []string{"change of an ingress", "change of an slice"} {
		if ms, ok := report.Find(rows, "switchyard", "", what, 10000, "to traffic, p99"); ok {
			add(what+" at 10,000 Ingresses, p99", ms, 50, " ms")
		}
	}
	for _, n := range []int{1, 10000} {
		if failed, ok := report.Find(rows, "switchyard", "", fmt.Sprintf("%d changes under load", changeCount), n, "failed requests"); ok {
			add(fmt.Sprintf("requests failed in %d changes at %d Ingresses", changeCount, n), failed, 0, "")
		}
	}
	return lines
}
