package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/switchyard-net/switchyard/bench/report"
)

// publish prints what was measured on what, and how it stands against the goals, and stores the values.
func publish(ctx context.Context, o options, rows []report.Row) error {
	fmt.Printf("\nService proxies against one kube-apiserver, %d endpoints a Service, on %d cores\n", endpointsPerService, runtime.NumCPU())
	if info, err := buildinfo.ReadFile(filepath.Join(o.binaries, "bench", "kube-proxy")); err == nil {
		fmt.Printf("  %-11s %s\n", "kube-proxy", info.Main.Version)
	}
	for _, command := range [][]string{
		{"uname", "-sr"}, {filepath.Join(o.binaries, "switchyard"), "version"}, {"nft", "--version"}, {"iptables", "--version"},
	} {
		// A version that cannot be had is shown as such, and spoils no measurement.
		output, err := exec.CommandContext(ctx, command[0], command[1:]...).Output()
		first, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
		if err != nil {
			first = err.Error()
		}
		fmt.Printf("  %-11s %s\n", filepath.Base(command[0]), first)
	}
	fmt.Printf(`  start:  from exec to the first connection through the last of the Services (all are tried)
  change: from the beginning of the API write to the rule in the kernel, one endpoint replaced after the other;
          nftables: the kernel's announcement of the commit; iptables (legacy): connections until the new pod answers
  connections: connect, one byte there, four back, reset; median of %d rounds in turns; p99 of all
  minSyncPeriod is %s (0s: each system's own default; 1ms: a change never waits for kube-proxy's one sync a second)

`, loadRounds, o.pace)
	if err := report.Table(os.Stdout, rows); err != nil {
		return err
	}
	for _, goal := range goals(rows, o.sizes) {
		fmt.Println(goal)
	}
	return report.Write(o.out, "proxy", rows)
}

// ratio is one goal: a value over another, with a bound on the quotient.
type ratio struct {
	text     string
	of, over value
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
	ours := func(name, metric string, n int) value { return value{"switchyard", "nftables", name, metric, n} }
	theirs := func(name, metric string, n int) value { return value{"kube-proxy", "nftables", name, metric, n} }
	ratios := []ratio{
		{"start to last rule, of kube-proxy's", ours("start", "to last rule", largest), theirs("start", "to last rule", largest), 1.0 / 30, false},
		{"endpoint change p99, of kube-proxy's p50", ours("endpoint change", "p99", largest), theirs("endpoint change", "p50", largest), 1.0 / 20, false},
		{"RSS, of kube-proxy's", ours("memory", "rss", largest), theirs("memory", "rss", largest), 1.0 / 3, false},
		{"connections through the last Service, of direct", ours("connections last Service", "rate", largest), ours("connections direct", "rate", largest), 0.9, true},
		{"connections through the last Service, of kube-proxy's", ours("connections last Service", "rate", largest), theirs("connections last Service", "rate", largest), 1, true},
	}
	if largest != smallest {
		for _, metric := range []string{"p50", "cpu each"} {
			ratios = append(ratios, ratio{
				fmt.Sprintf("endpoint change %s, from %d to %d Services", metric, smallest, largest),
				ours("endpoint change", metric, largest), ours("endpoint change", metric, smallest), 1.3, false,
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

func (r ratio) line(rows []report.Row) (string, bool) {
	of, known := r.of.in(rows)
	over, alsoKnown := r.over.in(rows)
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
