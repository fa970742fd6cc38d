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
          nftables: the kernel's announcement of the commit; others: connections until the new pod answers
  ruleset: what the kernel has, counted by listing it; elements are those of nftables sets and ipsets
  first packet: the handshake of %d connections each, one by one and in turns
  connections: connect, one byte there, four back, reset; median of %d rounds in turns; p99 of all
  modes: iptables is its legacy variant, iptables-nft the other; ipvs is measured in User Mode Linux on one virtual
          processor, and to be compared with ipvs only
  minSyncPeriod is %s (0s: each system's own default; 1ms: a change never waits for kube-proxy's one sync a second)

`, firstPackets, loadRounds, o.pace)
	if err := report.Table(os.Stdout, rows); err != nil {
		return err
	}
	for _, goal := range goals(rows, o.sizes) {
		fmt.Println(goal)
	}
	return report.Write(o.out, "proxy", rows)
}
