package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The proxy modes: what a node makes of the plan.
const (
	ModeNFTables  = "nftables"
	ModeIPTables  = "iptables"
	ModeIPVS      = "ipvs"
	ModeUserspace = "userspace"
)

// ModeAuto asks for the best mode that the node's kernel can do.
const ModeAuto = "auto"

// Modes returns the modes that there are, the one that is chosen before all others first. ipvs comes after iptables, as it
// needs more of the kernel, honours fewer rules, and is no faster for it.
func Modes() []string { return []string{ModeNFTables, ModeIPTables, ModeIPVS, ModeUserspace} }

// IPVS are the settings of the ipvs mode.
type IPVS struct {
	// Scheduler is the kernel's name of how endpoints are chosen; empty: rr.
	Scheduler string
	// ExcludeCIDRs are networks whose virtual servers belong to somebody else and are left alone.
	ExcludeCIDRs []string
	// StrictARP sets arp_ignore=1 and arp_announce=2, so that a node does not answer ARP for addresses of Services.
	StrictARP bool
	// Idle timeouts of connections, those after a FIN, and of UDP flows; 0: leave the kernel's.
	TCPTimeout, TCPFinTimeout, UDPTimeout time.Duration
}

// ipvsSchedulers returns the names of the kernel's schedulers that KubeProxyConfiguration takes (net/netfilter/ipvs).
func ipvsSchedulers() []string {
	return []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "sed", "nq"}
}

func (i IPVS) validate() error {
	var errs []error
	if i.Scheduler != "" && !slices.Contains(ipvsSchedulers(), i.Scheduler) {
		errs = append(errs, fmt.Errorf("ipvs.scheduler: %q: want one of %s", i.Scheduler, strings.Join(ipvsSchedulers(), ", ")))
	}
	for n, cidr := range i.ExcludeCIDRs {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			errs = append(errs, fmt.Errorf(`ipvs.excludeCIDRs[%d]: %q: want a network such as "192.0.2.0/24"`, n, cidr))
		}
	}
	for path, value := range map[string]time.Duration{
		"tcpTimeout": i.TCPTimeout, "tcpFinTimeout": i.TCPFinTimeout, "udpTimeout": i.UDPTimeout,
	} {
		if value < 0 || value%time.Second != 0 {
			errs = append(errs, fmt.Errorf("ipvs.%s: %s: want 0 (leave the kernel's) or whole seconds", path, value))
		}
	}
	return errors.Join(errs...)
}

// periodBlock returns the name of the block of a KubeProxyConfiguration that has the periods of a mode. Modes that
// kube-proxy does not have use that of nftables.
func periodBlock(mode string) string {
	if mode == ModeIPTables || mode == ModeIPVS {
		return mode
	}
	return ModeNFTables
}

// masqueradeBlock returns the name of the block that says how a mode masquerades: ipvs, as in kube-proxy, uses that of
// iptables.
func masqueradeBlock(mode string) string {
	if mode == ModeIPVS {
		return ModeIPTables
	}
	return periodBlock(mode)
}
