package main

import (
	"context"
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
	fmt.Printf("\nCluster DNS over one kube-apiserver, %d endpoints a Service, on %d cores\n", endpointsPerService, runtime.NumCPU())
	for _, command := range [][]string{
		{"uname", "-sr"},
		{filepath.Join(o.binaries, "switchyard"), "version"},
		{filepath.Join(o.binaries, "bench", "coredns"), "-version"},
		{"dnsperf", "-h"},
	} {
		// A version that cannot be had is shown as such, and spoils no measurement.
		output, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		version, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
		if _, after, found := strings.Cut(string(output), "Version "); found {
			version, _, _ = strings.Cut(after, "\n")
		}
		if version == "" && err != nil {
			version = err.Error()
		}
		fmt.Printf("  %-11s %s\n", filepath.Base(command[0]), version)
	}
	fmt.Printf(`  each server has processor %s alone (taskset, GOMAXPROCS=1), the load processor %s; kubeadm's Corefile, over a veth
  loads: dnsperf, %s questions under way, from one socket where nothing else is said; medians of %d turns of %s; processor time is the
         server's process, with what the kernel does in it: sending includes the way to the client's socket
  A at 5,000 a second: from when a question was due to its answer; median of the turns
  slice write to answer: from the beginning of the API write, with the server polled every %s
  under churn: every answer is of a state that the Services were in between question and answer, or within a second before
  memory of a node: switchyard node in the mode nftables, settled; with DNS, after a second of load

`, serverCPU, clientCPU, outstanding, o.turns, o.turn, pollPause)
	if err := report.Table(os.Stdout, rows); err != nil {
		return err
	}
	for _, goal := range goals(rows, o.services, o.queries) {
		fmt.Println(goal)
	}
	return report.Write(o.out, "dns", rows)
}
