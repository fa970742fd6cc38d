package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// system is one competitor: a node agent that reads a KubeProxyConfiguration.
type system struct {
	name, mode string
	// announced says that the mode's rules are nftables', whose changes the kernel announces.
	announced bool
	command   func(binaries string) []string
	path      string // prepended to PATH; relative to the run's directory
}

// systems are measured in this order.
func systems() []system {
	kubeProxy := func(binaries string) []string { return []string{filepath.Join(binaries, "bench", "kube-proxy")} }
	switchyard := func(binaries string) []string { return []string{filepath.Join(binaries, "switchyard"), "node"} }
	return []system{
		{name: "switchyard", mode: "nftables", announced: true, command: switchyard},
		{name: "kube-proxy", mode: "nftables", announced: true, command: kubeProxy},
		{name: "kube-proxy", mode: "iptables", command: kubeProxy, path: "iptables-legacy"},
	}
}

func (s system) String() string { return s.name + " " + s.mode }

// configuration is the file that every system is given. It leaves the settings of the whole machine alone. A pace of 0 is
// each system's own default, which for kube-proxy is one sync a second.
func (s system) configuration(kubeconfig string, pace time.Duration) []byte {
	return fmt.Appendf(nil, `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: %s
hostnameOverride: %s
clientConnection: {kubeconfig: %q}
detectLocalMode: ClusterCIDR
clusterCIDR: %s
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {minSyncPeriod: %s}
iptables: {minSyncPeriod: %[5]s}
`, s.mode, nodeName, kubeconfig, clientNetwork, pace)
}

// linkLegacyIPTables makes a directory in which the iptables commands are the legacy ones, where the machine has them:
// with the nft back end of Debian 12, kube-proxy does not finish its first sync of 10,000 Services in minutes.
func linkLegacyIPTables(dir string) error {
	const legacy = "/usr/sbin/xtables-legacy-multi"
	if _, err := os.Stat(legacy); err != nil {
		return fmt.Errorf("find the legacy iptables commands (Debian package iptables): %w", err)
	}
	errs := []error{os.MkdirAll(dir, 0o755)}
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			errs = append(errs, os.Symlink(legacy, filepath.Join(dir, family+suffix)))
		}
	}
	return errors.Join(errs...)
}
