package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard-net/switchyard/internal/proxy/quarantine"
)

// externalIPsGate is the feature gate that takes spec.externalIPs out of service when it is off.
const externalIPsGate = "AllowServiceExternalIPs"

// FromKubeProxy returns the node's configuration that a KubeProxyConfiguration asks for, with a note on each part of it
// that is not honoured or not taken literally. hostname is used where the file does not override it. What it returns is
// valid unless there is an error.
func FromKubeProxy(kp *KubeProxy, hostname string) (Node, []string, error) {
	n := Node{
		Name: strings.ToLower(strings.TrimSpace(hostname)),
		Mode: string(kp.Mode),
		LocalPods: LocalPods{
			Mode:                string(kp.DetectLocalMode),
			BridgeInterface:     kp.DetectLocal.BridgeInterface,
			InterfaceNamePrefix: kp.DetectLocal.InterfaceNamePrefix,
		},
		NodePortAddresses: kp.NodePortAddresses,
		Quarantine:        quarantine.Mode(kp.Switchyard.Quarantine),
		DNS:               kp.Switchyard.DNS,
		IPVS: IPVS{
			Scheduler: kp.IPVS.Scheduler, ExcludeCIDRs: kp.IPVS.ExcludeCIDRs, StrictARP: kp.IPVS.StrictARP,
			TCPTimeout: kp.IPVS.TCPTimeout.Duration, TCPFinTimeout: kp.IPVS.TCPFinTimeout.Duration, UDPTimeout: kp.IPVS.UDPTimeout.Duration,
		},
		Conntrack: Conntrack{
			MaxPerCore: value(kp.Conntrack.MaxPerCore), Min: value(kp.Conntrack.Min),
			TCPEstablishedTimeout: duration(kp.Conntrack.TCPEstablishedTimeout),
			TCPCloseWaitTimeout:   duration(kp.Conntrack.TCPCloseWaitTimeout),
			UDPTimeout:            kp.Conntrack.UDPTimeout.Duration,
			UDPStreamTimeout:      kp.Conntrack.UDPStreamTimeout.Duration,
			TCPBeLiberal:          kp.Conntrack.TCPBeLiberal,
		},
		Endpoints: NodeEndpoints{
			Healthz: kp.HealthzBindAddress, Metrics: kp.MetricsBindAddress,
			FailOnBind: kp.BindAddressHardFail, Profiling: kp.EnableProfiling,
		},
	}
	if kp.OOMScoreAdj != nil {
		score := int(*kp.OOMScoreAdj)
		n.OOMScoreAdj = &score
	}
	if name := strings.TrimSpace(kp.HostnameOverride); name != "" {
		n.Name = strings.ToLower(name)
	}
	if kp.ClusterCIDR != "" {
		for cidr := range strings.SplitSeq(kp.ClusterCIDR, ",") {
			n.LocalPods.ClusterCIDRs = append(n.LocalPods.ClusterCIDRs, strings.TrimSpace(cidr))
		}
	}
	allowed, set := kp.FeatureGates[externalIPsGate]
	n.IgnoreExternalIPs = set && !allowed
	notes := append(n.setMode(kp), notHonoured(kp, n.Mode)...)
	var badAddress error
	if addr, err := netip.ParseAddr(kp.BindAddress); err != nil {
		badAddress = fmt.Errorf("bindAddress: %q: want an IP address", kp.BindAddress)
	} else if !addr.IsUnspecified() {
		n.NodeIP = addr
	}
	if err := n.Validate(); err != nil || badAddress != nil {
		return Node{}, notes, errors.Join(badAddress, err)
	}
	return n, notes, nil
}

// setMode takes what depends on the mode, from the mode's blocks of the file.
func (n *Node) setMode(kp *KubeProxy) (notes []string) {
	if n.Mode == "" {
		n.Mode = ModeIPTables
		notes = append(notes, fmt.Sprintf(`mode: "": taken as %q, as kube-proxy does; %q is the better choice where the kernel has it`, ModeIPTables, ModeNFTables))
	}
	switch masqueradeBlock(n.Mode) {
	case ModeIPTables:
		n.Masquerade = Masquerade{All: kp.IPTables.MasqueradeAll, Bit: value(kp.IPTables.MasqueradeBit)}
	default:
		n.Masquerade = Masquerade{All: kp.NFTables.MasqueradeAll, Bit: value(kp.NFTables.MasqueradeBit)}
	}
	switch periodBlock(n.Mode) {
	case ModeIPTables:
		n.Sync = Sync{MinPeriod: kp.IPTables.MinSyncPeriod.Duration, Period: kp.IPTables.SyncPeriod.Duration}
	case ModeIPVS:
		n.Sync = Sync{MinPeriod: kp.IPVS.MinSyncPeriod.Duration, Period: kp.IPVS.SyncPeriod.Duration}
	default:
		n.Sync = Sync{MinPeriod: kp.NFTables.MinSyncPeriod.Duration, Period: kp.NFTables.SyncPeriod.Duration}
	}
	if len(n.NodePortAddresses) == 0 {
		n.NodePortAddresses = defaultNodePortAddresses(n.Mode, kp)
	}
	return notes
}

// defaultNodePortAddresses returns where a mode answers on node ports unless it is told: kube-proxy's nftables mode on the
// primary addresses, its older modes on all, and the iptables mode by default on 127.0.0.1 too.
func defaultNodePortAddresses(mode string, kp *KubeProxy) []string {
	switch {
	case mode == ModeNFTables || mode == ModeAuto:
		return []string{"primary"}
	case mode == ModeIPTables && (kp.IPTables.LocalhostNodePorts == nil || *kp.IPTables.LocalhostNodePorts):
		return []string{"all", "127.0.0.0/8"}
	}
	return []string{"all"}
}

// notHonoured returns a note for each field that is set to something that has no effect in this mode.
func notHonoured(kp *KubeProxy, mode string) []string {
	var notes notes
	for gate := range kp.FeatureGates {
		if gate != externalIPsGate {
			notes = append(notes, "featureGates."+gate+" is not honoured")
		}
	}
	notes.unlessZero("clientConnection.acceptContentTypes", kp.ClientConnection.AcceptContentTypes)
	notes.unlessZero("clientConnection.contentType", kp.ClientConnection.ContentType, "application/vnd.kubernetes.protobuf")
	notes.unlessZero("clientConnection.qps", kp.ClientConnection.QPS, float32(5))
	notes.unlessZero("clientConnection.burst", kp.ClientConnection.Burst, int32(10))
	notes.unlessZero("configSyncPeriod", kp.ConfigSyncPeriod.Duration, 15*time.Minute)
	notes.unlessZero("showHiddenMetricsForVersion", kp.ShowHiddenMetricsForVersion)
	notes.unlessZero("portRange", kp.PortRange)
	notes.unlessZero("windowsRunAsService", kp.WindowsRunAsService)
	notes.unlessZero("winkernel", kp.Winkernel)
	notes.otherModes(kp, mode)
	slices.Sort(notes)
	return notes
}

// notes are sentences on fields without effect.
type notes []string

// unlessZero adds a note on a field, unless it is not set, or set to a value that asks for what is done anyway.
func (n *notes) unlessZero(path string, got any, harmless ...any) {
	v := reflect.ValueOf(got)
	if v.IsZero() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0 {
		return
	}
	if slices.ContainsFunc(harmless, func(h any) bool { return reflect.DeepEqual(got, h) }) {
		return
	}
	*n = append(*n, path+" is not honoured")
}

// otherModes adds notes on the fields of blocks that the mode does not use. Files hold kube-proxy's default periods and
// kubeadm's zeros in all of them.
func (n *notes) otherModes(kp *KubeProxy, mode string) {
	period, least, bit := 30*time.Second, time.Second, value(DefaultKubeProxy().IPTables.MasqueradeBit)
	// Where a flag or a file sets a field of the mode's own block to the same, the mode honours it.
	if masqueradeBlock(mode) != ModeIPTables {
		n.unlessZero("iptables.masqueradeAll", kp.IPTables.MasqueradeAll, kp.NFTables.MasqueradeAll)
		n.unlessZero("iptables.masqueradeBit", value(kp.IPTables.MasqueradeBit), bit, value(kp.NFTables.MasqueradeBit))
	} else {
		n.unlessZero("nftables.masqueradeAll", kp.NFTables.MasqueradeAll, kp.IPTables.MasqueradeAll)
		n.unlessZero("nftables.masqueradeBit", value(kp.NFTables.MasqueradeBit), bit, value(kp.IPTables.MasqueradeBit))
	}
	own := map[string][2]metav1.Duration{
		ModeIPTables: {kp.IPTables.SyncPeriod, kp.IPTables.MinSyncPeriod},
		ModeIPVS:     {kp.IPVS.SyncPeriod, kp.IPVS.MinSyncPeriod},
		ModeNFTables: {kp.NFTables.SyncPeriod, kp.NFTables.MinSyncPeriod},
	}
	used := own[periodBlock(mode)]
	for block, periods := range own {
		n.unlessZero(block+".syncPeriod", periods[0].Duration, period, used[0].Duration)
		n.unlessZero(block+".minSyncPeriod", periods[1].Duration, least, used[1].Duration)
	}
	if mode != ModeIPTables && kp.IPTables.LocalhostNodePorts != nil && *kp.IPTables.LocalhostNodePorts {
		*n = append(*n, `iptables.localhostNodePorts is not honoured outside of the iptables mode; nodePortAddresses: ["localhost"] asks for it in all`)
	}
	if mode != ModeIPVS {
		n.unlessZero("ipvs.scheduler", kp.IPVS.Scheduler)
		n.unlessZero("ipvs.excludeCIDRs", kp.IPVS.ExcludeCIDRs)
		n.unlessZero("ipvs.strictARP", kp.IPVS.StrictARP)
		n.unlessZero("ipvs.tcpTimeout", kp.IPVS.TCPTimeout.Duration)
		n.unlessZero("ipvs.tcpFinTimeout", kp.IPVS.TCPFinTimeout.Duration)
		n.unlessZero("ipvs.udpTimeout", kp.IPVS.UDPTimeout.Duration)
	}
}

func value(p *int32) int {
	if p == nil {
		return 0
	}
	return int(*p)
}

func duration(d *metav1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return d.Duration
}

func isIPv6(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && a.Is6()
}

// withPort completes the address of a page that is served: kube-proxy also takes an IP address alone.
func withPort(address, defaultHost, defaultPort string) string {
	if address == "" {
		return defaultHost + ":" + defaultPort
	}
	if a, err := netip.ParseAddr(address); err == nil {
		return net.JoinHostPort(a.String(), defaultPort)
	}
	return address
}
