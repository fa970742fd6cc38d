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
		Masquerade:        Masquerade{All: kp.NFTables.MasqueradeAll, Bit: value(kp.NFTables.MasqueradeBit)},
		Sync:              Sync{MinPeriod: kp.NFTables.MinSyncPeriod.Duration, Period: kp.NFTables.SyncPeriod.Duration},
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
	notes := append(n.takeOver(kp), notHonoured(kp)...)
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

// takeOver puts nftables in the place of kube-proxy's default mode, so that a file written for that can be used as it
// is, with the meaning it has there.
func (n *Node) takeOver(kp *KubeProxy) []string {
	if n.Mode != "" && n.Mode != "iptables" {
		return nil
	}
	n.Mode = ModeNFTables
	n.Masquerade = Masquerade{All: kp.IPTables.MasqueradeAll || kp.NFTables.MasqueradeAll, Bit: value(kp.IPTables.MasqueradeBit)}
	ports := ""
	if len(n.NodePortAddresses) == 0 {
		n.NodePortAddresses = []string{"all"}
		ports = `; node ports stay open on all addresses, as in iptables mode (nftables mode's own default is nodePortAddresses: ["primary"])`
	}
	return []string{fmt.Sprintf("mode: %q: taken as %q, which replaces kube-proxy's iptables mode%s", kp.Mode, ModeNFTables, ports)}
}

// notHonoured returns a note for each field that is set to something that has no effect here.
func notHonoured(kp *KubeProxy) []string {
	untouched := DefaultKubeProxy()
	var notes []string
	note := func(path string, got any, harmless ...any) {
		v := reflect.ValueOf(got)
		if v.IsZero() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0 {
			return
		}
		if slices.ContainsFunc(harmless, func(h any) bool { return reflect.DeepEqual(got, h) }) {
			return
		}
		notes = append(notes, path+" is not honoured")
	}
	for gate := range kp.FeatureGates {
		if gate != externalIPsGate {
			notes = append(notes, "featureGates."+gate+" is not honoured")
		}
	}
	note("clientConnection.acceptContentTypes", kp.ClientConnection.AcceptContentTypes)
	note("clientConnection.contentType", kp.ClientConnection.ContentType, "application/vnd.kubernetes.protobuf")
	note("clientConnection.qps", kp.ClientConnection.QPS, float32(5))
	note("clientConnection.burst", kp.ClientConnection.Burst, int32(10))
	note("configSyncPeriod", kp.ConfigSyncPeriod.Duration, 15*time.Minute)
	note("showHiddenMetricsForVersion", kp.ShowHiddenMetricsForVersion)
	note("portRange", kp.PortRange)
	note("windowsRunAsService", kp.WindowsRunAsService)
	note("winkernel", kp.Winkernel)
	note("ipvs", withoutPeriods(kp))
	note("iptables.syncPeriod", kp.IPTables.SyncPeriod.Duration, 30*time.Second)
	note("iptables.minSyncPeriod", kp.IPTables.MinSyncPeriod.Duration, time.Second)
	if kp.IPTables.LocalhostNodePorts != nil && *kp.IPTables.LocalhostNodePorts {
		notes = append(notes, "iptables.localhostNodePorts is not honoured: node ports do not answer on 127.0.0.1")
	}
	if kp.Mode == ModeNFTables {
		note("iptables.masqueradeAll", kp.IPTables.MasqueradeAll)
		note("iptables.masqueradeBit", value(kp.IPTables.MasqueradeBit), value(untouched.IPTables.MasqueradeBit))
	}
	slices.Sort(notes)
	return notes
}

// withoutPeriods returns the IPVS block as far as it says something: files written by kubeadm hold zeros and kube-proxy's
// default periods.
func withoutPeriods(kp *KubeProxy) any {
	block := kp.IPVS
	block.SyncPeriod, block.MinSyncPeriod = metav1.Duration{}, metav1.Duration{}
	if len(block.ExcludeCIDRs) == 0 {
		block.ExcludeCIDRs = nil
	}
	return block
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
