package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// system is one competitor: a node agent that reads a KubeProxyConfiguration. To add one is to add a line to systems.
type system struct {
	// name is the program's, mode that of its rules: the proxy mode, with "-nft" for that variant of iptables.
	name, mode string
	command    func(binaries string) []string
	// announced says that changes of endpoints are changes of nftables, which the kernel announces.
	announced bool
	// guest says that it needs a kernel that this machine may not have: it is measured in User Mode Linux.
	guest bool
	// limit is how long the first sync may take before it is reported as not finished; 0: firstSyncTimeout.
	limit time.Duration
}

// unfinished bounds what is known not to finish: with the nft variant of Debian 12's iptables, kube-proxy does not get
// through its first sync of 10,000 Services in minutes.
const unfinished = 3 * time.Minute

// patientGuest bounds kube-proxy in a guest, where each of the hundreds of commands of its sync takes a tenth of a second.
const patientGuest = 20 * time.Minute

// systems are measured in this order.
func systems() []system {
	kubeProxy := func(binaries string) []string { return []string{filepath.Join(binaries, "bench", "kube-proxy")} }
	switchyard := func(binaries string) []string { return []string{filepath.Join(binaries, "switchyard"), "node"} }
	return []system{
		{name: "switchyard", mode: "nftables", announced: true, command: switchyard},
		{name: "kube-proxy", mode: "nftables", announced: true, command: kubeProxy},
		{name: "switchyard", mode: "iptables", command: switchyard},
		{name: "kube-proxy", mode: "iptables", command: kubeProxy},
		{name: "switchyard", mode: "iptables-nft", command: switchyard},
		{name: "kube-proxy", mode: "iptables-nft", command: kubeProxy, limit: unfinished},
		{name: "switchyard", mode: "ipvs", command: switchyard, guest: true},
		{name: "kube-proxy", mode: "ipvs", command: kubeProxy, guest: true, limit: patientGuest},
		{name: "switchyard", mode: "userspace", command: switchyard},
	}
}

func (s system) String() string { return s.name + " " + s.mode }

// proxyMode is what the configuration calls the mode.
func (s system) proxyMode() string {
	mode, _, _ := strings.Cut(s.mode, "-")
	return mode
}

// variant is the name of the directory whose iptables commands the system is given.
func (s system) variant() string {
	if s.mode == "iptables-nft" {
		return iptablesNFT
	}
	return iptablesLegacy
}

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
iptables: {minSyncPeriod: %[5]s, localhostNodePorts: false}
ipvs: {minSyncPeriod: %[5]s}
`, s.proxyMode(), nodeName, kubeconfig, clientNetwork, pace)
}

// The directories, below a run's own, whose iptables commands are those of one variant.
const (
	iptablesLegacy = "iptables-legacy"
	iptablesNFT    = "iptables-nft"
)

// linkIPTables makes these directories: programs take the variant that they find in PATH.
func linkIPTables(dir string) error {
	var errs []error
	for variant, program := range map[string]string{
		iptablesLegacy: "/usr/sbin/xtables-legacy-multi", iptablesNFT: "/usr/sbin/xtables-nft-multi",
	} {
		if _, err := os.Stat(program); err != nil {
			errs = append(errs, fmt.Errorf("find the commands of %s (Debian package iptables): %w", variant, err))
			continue
		}
		errs = append(errs, os.MkdirAll(filepath.Join(dir, variant), 0o755))
		for _, family := range []string{"iptables", "ip6tables"} {
			for _, suffix := range []string{"", "-save", "-restore"} {
				errs = append(errs, os.Symlink(program, filepath.Join(dir, variant, family+suffix)))
			}
		}
	}
	return errors.Join(errs...)
}
