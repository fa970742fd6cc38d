package config_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/internal/config"
)

// parse reads a configuration: the lines of text, after the type.
func parse(t *testing.T, text string) (config.Node, []string, error) {
	t.Helper()
	kp, err := config.ParseKubeProxy(strings.NewReader(
		"apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n" + text))
	if err != nil {
		return config.Node{}, nil, err
	}
	return config.FromKubeProxy(kp, "Host-1")
}

// TestRule38_KubeadmsConfigMapIsUsedAsItIs reads what kubeadm puts into the ConfigMap of kube-proxy.
func TestRule38_KubeadmsConfigMapIsUsedAsItIs(t *testing.T) {
	file, err := os.Open("testdata/kubeadm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	kp, err := config.ParseKubeProxy(file)
	if err != nil {
		t.Fatal(err)
	}
	if kp.ClientConnection.Kubeconfig != "/var/lib/kube-proxy/kubeconfig.conf" {
		t.Errorf("kubeconfig is %q", kp.ClientConnection.Kubeconfig)
	}
	node, notes, err := config.FromKubeProxy(kp, "Host-1")
	if err != nil {
		t.Fatal(err)
	}
	score := -999
	want := config.Node{
		Name: "host-1", Mode: "iptables", NodePortAddresses: []string{"all", "127.0.0.0/8"},
		LocalPods:  config.LocalPods{Mode: "ClusterCIDR", ClusterCIDRs: []string{"10.244.0.0/16"}},
		Masquerade: config.Masquerade{Bit: 14},
		Conntrack: config.Conntrack{
			MaxPerCore: 32768, Min: 131072, TCPEstablishedTimeout: 24 * time.Hour, TCPCloseWaitTimeout: time.Hour,
		},
		Endpoints:   config.NodeEndpoints{Healthz: "0.0.0.0:10256", Metrics: "127.0.0.1:10249"},
		Quarantine:  "on",
		OOMScoreAdj: &score,
	}
	if diff := cmp.Diff(want, node, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("node (-want +got):\n%s", diff)
	}
	if notes != nil {
		t.Errorf("notes %q; want none", notes)
	}
}

func TestRule38_EveryFieldIsHonouredOrNamed(t *testing.T) {
	node, notes, err := parse(t, `
mode: nftables
bindAddress: 192.0.2.7
hostnameOverride: " Other "
healthzBindAddress: 192.0.2.7
metricsBindAddress: "[::1]:9"
bindAddressHardFail: true
enableProfiling: true
oomScoreAdj: 5
nodePortAddresses: [192.0.2.0/24, localhost]
clusterCIDR: "10.244.0.0/16, fd00:10:244::/48"
detectLocalMode: BridgeInterface
detectLocal: {bridgeInterface: cni0}
nftables: {masqueradeAll: true, masqueradeBit: 7, syncPeriod: 1m, minSyncPeriod: 2s}
switchyard: {quarantine: observe}
conntrack: {maxPerCore: 0, min: 1, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 2h, tcpBeLiberal: true, udpTimeout: 3s, udpStreamTimeout: 4s}
featureGates: {AllowServiceExternalIPs: false, Other: true}
clientConnection: {qps: 50, burst: 100, contentType: application/json, acceptContentTypes: x}
configSyncPeriod: 1m
showHiddenMetricsForVersion: "1.36"
portRange: 1-2
ipvs: {scheduler: lc, excludeCIDRs: [192.0.2.0/24], strictARP: true, tcpTimeout: 1s, tcpFinTimeout: 2s, udpTimeout: 3s, syncPeriod: 2m, minSyncPeriod: 4s}
iptables: {masqueradeAll: true, masqueradeBit: 3, minSyncPeriod: 3s, localhostNodePorts: true}
winkernel: {networkName: x}
windowsRunAsService: true
`)
	if err != nil {
		t.Fatal(err)
	}
	score := 5
	want := config.Node{
		Name: "other", Mode: "nftables", NodeIP: netip.MustParseAddr("192.0.2.7"), NodePortAddresses: []string{"192.0.2.0/24", "localhost"},
		LocalPods: config.LocalPods{
			Mode: "BridgeInterface", BridgeInterface: "cni0", ClusterCIDRs: []string{"10.244.0.0/16", "fd00:10:244::/48"},
		},
		Masquerade: config.Masquerade{All: true, Bit: 7},
		Sync:       config.Sync{MinPeriod: 2 * time.Second, Period: time.Minute},
		Conntrack: config.Conntrack{
			Min: 1, TCPCloseWaitTimeout: 2 * time.Hour, TCPBeLiberal: true, UDPTimeout: 3 * time.Second, UDPStreamTimeout: 4 * time.Second,
		},
		Endpoints:         config.NodeEndpoints{Healthz: "192.0.2.7:10256", Metrics: "[::1]:9", FailOnBind: true, Profiling: true},
		Quarantine:        "observe",
		OOMScoreAdj:       &score,
		IgnoreExternalIPs: true,
		IPVS: config.IPVS{
			Scheduler: "lc", ExcludeCIDRs: []string{"192.0.2.0/24"}, StrictARP: true,
			TCPTimeout: time.Second, TCPFinTimeout: 2 * time.Second, UDPTimeout: 3 * time.Second,
		},
	}
	if diff := cmp.Diff(want, node, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("node (-want +got):\n%s", diff)
	}
	wantNotes := []string{
		"clientConnection.acceptContentTypes is not honoured", "clientConnection.burst is not honoured",
		"clientConnection.contentType is not honoured", "clientConnection.qps is not honoured", "configSyncPeriod is not honoured",
		"featureGates.Other is not honoured",
		`iptables.localhostNodePorts is not honoured outside of the iptables mode; nodePortAddresses: ["localhost"] asks for it in all`,
		"iptables.masqueradeBit is not honoured", "iptables.minSyncPeriod is not honoured",
		"ipvs.excludeCIDRs is not honoured", "ipvs.minSyncPeriod is not honoured", "ipvs.scheduler is not honoured", "ipvs.strictARP is not honoured",
		"ipvs.syncPeriod is not honoured", "ipvs.tcpFinTimeout is not honoured", "ipvs.tcpTimeout is not honoured", "ipvs.udpTimeout is not honoured",
		"portRange is not honoured", "showHiddenMetricsForVersion is not honoured",
		"windowsRunAsService is not honoured", "winkernel is not honoured",
	}
	if diff := cmp.Diff(wantNotes, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestRule38_RefusalsNameTheFieldAndTheWayOut(t *testing.T) {
	for text, want := range map[string]string{
		"mode: foo":         `mode: "foo": want nftables, iptables, ipvs, userspace or auto`,
		"mode: kernelspace": `mode: "kernelspace": want nftables, iptables, ipvs, userspace or auto`,
		"mode: ipvs\niptables: {masqueradeBit: 32}":                     `iptables.masqueradeBit: 32: want 0 to 31`,
		"mode: ipvs\nipvs: {scheduler: best}":                           `ipvs.scheduler: "best": want one of rr, wrr, lc, wlc, lblc, lblcr, sh, mh, dh, sed, nq`,
		"ipvs: {excludeCIDRs: [here]}":                                  `ipvs.excludeCIDRs[0]: "here": want a network such as "192.0.2.0/24"`,
		"ipvs: {udpTimeout: 1ms}":                                       `ipvs.udpTimeout: 1ms: want 0 (leave the kernel's) or whole seconds`,
		"mode: ipvs\nipvs: {syncPeriod: 1s, minSyncPeriod: 2s}":         `ipvs.minSyncPeriod: 2s: want no more than ipvs.syncPeriod, 1s`,
		"iptables: {maskBit: 3}":                                        `unknown field "iptables.maskBit"`,
		"Mode: nftables":                                                `unknown field "Mode"`,
		"mode: nftables\nmode: iptables":                                `key "mode" already set in map`,
		"bindAddress: here":                                             `bindAddress: "here": want an IP address`,
		"healthzBindAddress: 0.0.0.0:x":                                 `healthzBindAddress: "0.0.0.0:x": want an IP address and a port, such as "0.0.0.0:10256" or "[::]:10256"`,
		"mode: nftables\nnftables: {masqueradeBit: 32}":                 `nftables.masqueradeBit: 32: want 0 to 31`,
		"oomScoreAdj: 2000":                                             `oomScoreAdj: 2000: want -1000 to 1000`,
		"nodePortAddresses: [near]":                                     `nodePortAddresses[0]: "near" is neither a network like "192.0.2.0/24" nor one of "primary", "localhost", "all"`,
		"clusterCIDR: 10.0.0.0":                                         `clusterCIDR: entry 0, "10.0.0.0": want a network such as "10.244.0.0/16"`,
		"detectLocalMode: Guess":                                        `detectLocalMode: "Guess": want ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix`,
		"detectLocalMode: InterfaceNamePrefix":                          `detectLocal.interfaceNamePrefix: must be set, as detectLocalMode is InterfaceNamePrefix`,
		"conntrack: {min: -1}":                                          `conntrack.min: -1: want 0 or more`,
		"conntrack: {udpTimeout: -1s}":                                  `conntrack.udpTimeout: -1s: want 0 or more`,
		"mode: nftables\nnftables: {syncPeriod: 1s, minSyncPeriod: 2s}": `nftables.minSyncPeriod: 2s: want no more than nftables.syncPeriod, 1s`,
		"detectLocal: {bridgeInterface: an-interface-name}":             `detectLocal.bridgeInterface: "an-interface-name": no interface can have this name`,
	} {
		if _, _, err := parse(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"kind: Pod\napiVersion: v1": `want apiVersion "kubeproxy.config.k8s.io/v1alpha1", kind "KubeProxyConfiguration"`,
		"{":                         "not valid YAML",
		"[]":                        "not a KubeProxyConfiguration",
	} {
		if _, err := config.ParseKubeProxy(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
}

// TestRule38_TheModesBlockCounts reads the same blocks in each mode.
func TestRule38_TheModesBlockCounts(t *testing.T) {
	const blocks = `
iptables: {masqueradeAll: true, masqueradeBit: 1, syncPeriod: 11s, minSyncPeriod: 1s}
ipvs: {syncPeriod: 12s, minSyncPeriod: 2s}
nftables: {masqueradeBit: 3, syncPeriod: 13s, minSyncPeriod: 3s}
`
	type part struct {
		Masquerade config.Masquerade
		Sync       config.Sync
		NodePorts  []string
	}
	second := time.Second
	for mode, want := range map[string]part{
		`""`:        {config.Masquerade{All: true, Bit: 1}, config.Sync{MinPeriod: second, Period: 11 * second}, []string{"all", "127.0.0.0/8"}},
		"iptables":  {config.Masquerade{All: true, Bit: 1}, config.Sync{MinPeriod: second, Period: 11 * second}, []string{"all", "127.0.0.0/8"}},
		"ipvs":      {config.Masquerade{All: true, Bit: 1}, config.Sync{MinPeriod: 2 * second, Period: 12 * second}, []string{"all"}},
		"nftables":  {config.Masquerade{Bit: 3}, config.Sync{MinPeriod: 3 * second, Period: 13 * second}, []string{"primary"}},
		"userspace": {config.Masquerade{Bit: 3}, config.Sync{MinPeriod: 3 * second, Period: 13 * second}, []string{"all"}},
		"auto":      {config.Masquerade{Bit: 3}, config.Sync{MinPeriod: 3 * second, Period: 13 * second}, []string{"primary"}},
	} {
		node, _, err := parse(t, "mode: "+mode+blocks)
		if err != nil {
			t.Errorf("mode %s: %v", mode, err)
			continue
		}
		if diff := cmp.Diff(want, part{node.Masquerade, node.Sync, node.NodePortAddresses}); diff != "" {
			t.Errorf("mode %s (-want +got):\n%s", mode, diff)
		}
	}
	node, notes, err := parse(t, "iptables: {localhostNodePorts: false}")
	if want := []string{"all"}; err != nil || !cmp.Equal(want, node.NodePortAddresses) || node.Mode != "iptables" || len(notes) != 1 {
		t.Errorf("localhostNodePorts false without a mode: %v, mode %s, notes %q, %v; want %v, iptables, and one note on the mode",
			node.NodePortAddresses, node.Mode, notes, err, want)
	}
}

// TestDefaultsSurviveTheirFile: what `config default` prints asks for the same as no file.
func TestDefaultsSurviveTheirFile(t *testing.T) {
	text, err := yaml.Marshal(config.DefaultKubeProxy())
	if err != nil {
		t.Fatal(err)
	}
	kp, err := config.ParseKubeProxy(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	got, notes, err := config.FromKubeProxy(kp, "n")
	if err != nil || notes != nil {
		t.Errorf("notes %q, %v; want none", notes, err)
	}
	if diff := cmp.Diff(config.DefaultNode("n"), got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("node (-default +read back):\n%s", diff)
	}
}

func FuzzParseKubeProxy(f *testing.F) {
	f.Add("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\nbindAddress: '::'\n")
	f.Fuzz(func(t *testing.T, text string) {
		kp, err := config.ParseKubeProxy(strings.NewReader(text))
		if err != nil {
			return
		}
		if node, _, err := config.FromKubeProxy(kp, "n"); err == nil && node.Validate() != nil {
			t.Errorf("accepted, and not valid: %v", node.Validate())
		}
	})
}

// TestQuarantineIsOnOffOrObserve: YAML takes the words on and off for booleans.
func TestQuarantineIsOnOffOrObserve(t *testing.T) {
	for text, want := range map[string]string{
		"": "on", "switchyard: {}": "on", "switchyard: {quarantine: on}": "on", `switchyard: {quarantine: "on"}`: "on",
		"switchyard: {quarantine: off}": "off", "switchyard: {quarantine: observe}": "observe",
	} {
		if node, _, err := parse(t, "mode: nftables\n"+text); err != nil || string(node.Quarantine) != want {
			t.Errorf("%q: %q, %v; want %q", text, node.Quarantine, err, want)
		}
	}
	if _, _, err := parse(t, "switchyard: {quarantine: maybe}"); err == nil || !strings.Contains(err.Error(), `switchyard.quarantine: "maybe": want "off", "observe" or "on"`) {
		t.Errorf("an unknown word: %v", err)
	}
}
