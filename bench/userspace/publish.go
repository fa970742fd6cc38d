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

// The goals: how fast the proxy has to be, in terms of HAProxy in its plain TCP mode.
const (
	goalStreams     = 1.0
	goalConnections = 0.8
)

// publish prints what was measured and how it stands against the goals, and stores the values.
func publish(ctx context.Context, o options, systems []*system, m measurements) error {
	fmt.Printf("\nUserspace proxies, one thread each, on %d cores\n", runtime.NumCPU())
	for _, command := range [][]string{{"uname", "-sr"}, {"haproxy", "-v"}} {
		// A version that cannot be had is shown as such, and spoils no measurement.
		out, err := exec.CommandContext(ctx, command[0], command[1:]...).Output()
		first, _, _ := strings.Cut(string(out), "\n")
		if err != nil {
			first = err.Error()
		}
		fmt.Printf("  %s\n", first)
	}
	fmt.Printf(`  download, upload: %d connections that send all the time; connect: %d clients, each of which connects, sends and
          gets %d bytes, and connects again when the server has closed
  medians of %d turns of %s; processor time is that of the proxy's process, user and system
  switchyard: behind packet rules that hand connections over, the server sees the client's address
  haproxy: without any packet rules, the server sees the proxy's address
  server alone: no proxy in between, processor time of the server's process

`, streams, callers, len(message), o.rounds, o.length)
	rows := rowsOf(systems, m)
	if err := report.Table(os.Stdout, rows); err != nil {
		return err
	}
	for _, goal := range goals(rows) {
		fmt.Println(goal)
	}
	return report.Write(o.out, "userspace", rows)
}

func rowsOf(systems []*system, m measurements) []report.Row {
	var rows []report.Row
	for _, load := range loads() {
		rateUnit, costUnit, rateScale, costScale := "GB/s", "s/GB", 1e-9, 1e9
		if load == "connect" {
			rateUnit, costUnit, rateScale, costScale = "/s", "us", 1, 1e6
		}
		for _, s := range systems {
			row := report.Row{System: s.name, Mode: s.mode, Case: load, Services: 1}
			row.Metric, row.Unit, row.Value = "rate", rateUnit, rateScale*median(m[load][s], turn.rate)
			rows = append(rows, row)
			row.Metric, row.Unit, row.Value = "processor time", costUnit, costScale*median(m[load][s], turn.cost)
			rows = append(rows, row)
		}
	}
	return rows
}

// goals returns a line for each goal that was measured.
func goals(rows []report.Row) []string {
	var lines []string
	for _, g := range []struct {
		load string
		goal float64
	}{{"download", goalStreams}, {"upload", goalStreams}, {"connect", goalConnections}} {
		ours, ok := report.Find(rows, "switchyard", "userspace", g.load, 1, "rate")
		theirs, ok2 := report.Find(rows, "haproxy", "tcp", g.load, 1, "rate")
		if !ok || !ok2 || theirs == 0 {
			continue
		}
		verdict := "met   "
		if ours/theirs < g.goal {
			verdict = "MISSED"
		}
		lines = append(lines, fmt.Sprintf("goal %s %s: %.2f of HAProxy's rate; goal %.2f", verdict, g.load, ours/theirs, g.goal))
	}
	return lines
}
