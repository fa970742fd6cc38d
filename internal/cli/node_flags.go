package cli

import (
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard-net/switchyard/internal/config"
)

// addKubeProxyFlags defines kube-proxy's flags for fields of its configuration file (cmd/kube-proxy/app/options.go). The
// values in kp are the defaults.
func addKubeProxyFlags(flags *pflag.FlagSet, kp *config.KubeProxy) {
	flags.StringVar(&kp.ClientConnection.Kubeconfig, "kubeconfig", kp.ClientConnection.Kubeconfig,
		"file that says how to reach the API server (empty: $KUBECONFIG, else the pod's service account)")
	flags.StringVar(&kp.HostnameOverride, "hostname-override", kp.HostnameOverride, "name of this host's Node object (empty: the host's name)")
	flags.StringVar(&kp.BindAddress, "bind-address", kp.BindAddress, "the node's primary IP address, if not that of its Node object; nothing is bound to it")
	flags.StringVar(&kp.HealthzBindAddress, "healthz-bind-address", kp.HealthzBindAddress, "serve /healthz and /livez on this address")
	flags.StringVar(&kp.MetricsBindAddress, "metrics-bind-address", kp.MetricsBindAddress, "serve /metrics and /proxyMode on this address")
	flags.BoolVar(&kp.BindAddressHardFail, "bind-address-hard-fail", kp.BindAddressHardFail, "exit if one of these addresses is taken, instead of trying again")
	flags.BoolVar(&kp.EnableProfiling, "profiling", kp.EnableProfiling, "serve /debug/pprof on --metrics-bind-address")
	flags.Var(modeFlag[config.ProxyMode]{&kp.Mode}, "proxy-mode", "how to serve Services: "+strings.Join(config.Modes(), ", ")+
		", or "+config.ModeAuto+" for the first of these that the kernel can do")
	flags.Var((*listFlag)(&kp.NodePortAddresses), "nodeport-addresses",
		"answer on node ports only at addresses in these networks; keywords: primary (the Node's own), localhost, all (empty: primary in nftables mode, all in others)")
	flags.StringVar(&kp.ClusterCIDR, "cluster-cidr", kp.ClusterCIDR, "networks of all pods, one of each family")
	flags.Var(modeFlag[config.LocalMode]{&kp.DetectLocalMode}, "detect-local-mode",
		"how pods of this node are told from others: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix")
	flags.StringVar(&kp.DetectLocal.BridgeInterface, "pod-bridge-interface", kp.DetectLocal.BridgeInterface, "bridge that pods are behind, for BridgeInterface")
	flags.StringVar(&kp.DetectLocal.InterfaceNamePrefix, "pod-interface-name-prefix", kp.DetectLocal.InterfaceNamePrefix, "how names of pods' interfaces begin, for InterfaceNamePrefix")
	flags.Var(int32Flag{&kp.OOMScoreAdj}, "oom-score-adj", "oom_score_adj of the process, -1000 to 1000")
	flags.Var(modeFlag[config.Switch]{&kp.Switchyard.Quarantine}, "quarantine",
		"what to do about endpoints that do not answer this node, though the API server has them as ready: off, observe (report them), on (no new connections until they answer)")
	addNodeDNSFlags(flags, &kp.Switchyard.DNS)
	addModeFlags(flags, kp)
	addConntrackFlags(flags, kp)
}

// addModeFlags defines the flags for the blocks of single modes: those without a mode's name set the block of every mode.
func addModeFlags(flags *pflag.FlagSet, kp *config.KubeProxy) {
	flags.VarPF(allFlag{boolFlag{&kp.NFTables.MasqueradeAll}, boolFlag{&kp.IPTables.MasqueradeAll}}, "masquerade-all", "",
		"give all traffic to cluster IPs this node's source address").NoOptDefVal = "true"
	flags.Var(allFlag{int32Flag{&kp.NFTables.MasqueradeBit}, int32Flag{&kp.IPTables.MasqueradeBit}},
		"masquerade-bit", "bit of the packet mark that asks for masquerading, 0 to 31")
	flags.Var(int32Flag{&kp.IPTables.MasqueradeBit}, "iptables-masquerade-bit", "the same, for iptables and ipvs modes alone")
	ipt, ipvs, nft := &kp.IPTables, &kp.IPVS, &kp.NFTables
	flags.Var(allFlag{periodFlag{&nft.SyncPeriod}, periodFlag{&ipt.SyncPeriod}, periodFlag{&ipvs.SyncPeriod}}, "sync-period",
		"compare all rules with the kernel this often (0: 30s, or 1h if it can be told cheaply that nobody changed them)")
	flags.Var(allFlag{periodFlag{&nft.MinSyncPeriod}, periodFlag{&ipt.MinSyncPeriod}, periodFlag{&ipvs.MinSyncPeriod}}, "min-sync-period",
		"least time between two writes to the kernel; a change after a quiet period never waits (0: 10ms)")
	flags.DurationVar(&ipt.SyncPeriod.Duration, "iptables-sync-period", ipt.SyncPeriod.Duration, "--sync-period for iptables mode alone")
	flags.DurationVar(&ipt.MinSyncPeriod.Duration, "iptables-min-sync-period", ipt.MinSyncPeriod.Duration, "--min-sync-period for iptables mode alone")
	flags.DurationVar(&ipvs.SyncPeriod.Duration, "ipvs-sync-period", ipvs.SyncPeriod.Duration, "--sync-period for ipvs mode alone")
	flags.DurationVar(&ipvs.MinSyncPeriod.Duration, "ipvs-min-sync-period", ipvs.MinSyncPeriod.Duration, "--min-sync-period for ipvs mode alone")
	flags.VarPF(optionalBoolFlag{&kp.IPTables.LocalhostNodePorts}, "iptables-localhost-nodeports", "",
		"in iptables mode, answer on node ports at 127.0.0.1 too, unless --nodeport-addresses leaves it out").NoOptDefVal = "true"
	flags.StringVar(&ipvs.Scheduler, "ipvs-scheduler", ipvs.Scheduler, "how ipvs mode chooses an endpoint: rr, wrr, lc, wlc, lblc, lblcr, sh, mh, dh, sed or nq (empty: rr)")
	flags.Var((*listFlag)(&ipvs.ExcludeCIDRs), "ipvs-exclude-cidrs", "networks whose virtual servers ipvs mode leaves alone")
	flags.BoolVar(&ipvs.StrictARP, "ipvs-strict-arp", ipvs.StrictARP, "in ipvs mode, set arp_ignore to 1 and arp_announce to 2")
	flags.DurationVar(&ipvs.TCPTimeout.Duration, "ipvs-tcp-timeout", ipvs.TCPTimeout.Duration, "idle timeout of TCP connections in ipvs mode (0: leave it)")
	flags.DurationVar(&ipvs.TCPFinTimeout.Duration, "ipvs-tcpfin-timeout", ipvs.TCPFinTimeout.Duration, "timeout of TCP connections after a FIN in ipvs mode (0: leave it)")
	flags.DurationVar(&ipvs.UDPTimeout.Duration, "ipvs-udp-timeout", ipvs.UDPTimeout.Duration, "timeout of UDP flows in ipvs mode (0: leave it)")
}

func addConntrackFlags(flags *pflag.FlagSet, kp *config.KubeProxy) {
	ct := &kp.Conntrack
	flags.Var(int32Flag{&ct.MaxPerCore}, "conntrack-max-per-core", "connections to track per CPU (0: leave the limit, ignore --conntrack-min)")
	flags.Var(int32Flag{&ct.Min}, "conntrack-min", "connections to track, at least")
	flags.Var(durationFlag{&ct.TCPEstablishedTimeout}, "conntrack-tcp-timeout-established", "idle timeout of established TCP connections (0: leave it)")
	flags.Var(durationFlag{&ct.TCPCloseWaitTimeout}, "conntrack-tcp-timeout-close-wait", "timeout of TCP connections in CLOSE_WAIT (0: leave it)")
	flags.BoolVar(&ct.TCPBeLiberal, "conntrack-tcp-be-liberal", ct.TCPBeLiberal, "do not call out-of-window TCP packets INVALID")
	flags.DurationVar(&ct.UDPTimeout.Duration, "conntrack-udp-timeout", ct.UDPTimeout.Duration, "idle timeout of UDP flows without a reply (0: leave it)")
	flags.DurationVar(&ct.UDPStreamTimeout.Duration, "conntrack-udp-timeout-stream", ct.UDPStreamTimeout.Duration, "idle timeout of UDP flows with replies (0: leave it)")
}

// newNodeLogger returns the logger that the flags ask for or, where they are silent, the file.
func newNodeLogger(command *cobra.Command, kp *config.KubeProxy) (*slog.Logger, error) {
	flags := command.Flags()
	if kp.Logging.Format != "" && !flags.Changed("log-format") {
		if err := flags.Set("log-format", kp.Logging.Format); err != nil {
			return nil, err
		}
	}
	if kp.Logging.Verbosity != 0 && !flags.Changed("v") {
		if err := flags.Set("v", strconv.Itoa(int(kp.Logging.Verbosity))); err != nil {
			return nil, err
		}
	}
	return newLogger(command)
}

// The flag values below write to fields whose types pflag does not know. Each reads back what its String returns.

// modeFlag is a string of a type of its own.
type modeFlag[T ~string] struct{ field *T }

func (f modeFlag[T]) Type() string       { return "string" }
func (f modeFlag[T]) Set(s string) error { *f.field = T(s); return nil }
func (f modeFlag[T]) String() string {
	if f.field == nil {
		return ""
	}
	return string(*f.field)
}

// listFlag is a list with commas between its entries.
type listFlag []string

func (f *listFlag) String() string { return strings.Join(*f, ",") }
func (f *listFlag) Type() string   { return "list" }
func (f *listFlag) Set(s string) error {
	*f = nil
	if s != "" {
		*f = strings.Split(s, ",")
	}
	return nil
}

// allFlag sets several fields to one value.
type allFlag []pflag.Value

func (f allFlag) Type() string { return f[0].Type() }
func (f allFlag) String() string {
	if len(f) == 0 {
		return ""
	}
	return f[0].String()
}

func (f allFlag) Set(s string) error {
	for _, field := range f {
		if err := field.Set(s); err != nil {
			return err
		}
	}
	return nil
}

type boolFlag struct{ field *bool }

func (f boolFlag) Type() string   { return "bool" }
func (f boolFlag) String() string { return strconv.FormatBool(f.field != nil && *f.field) }
func (f boolFlag) Set(s string) (err error) {
	*f.field, err = strconv.ParseBool(s)
	return err
}

// optionalBoolFlag is true unless it is set to false.
type optionalBoolFlag struct{ field **bool }

func (f optionalBoolFlag) Type() string { return "bool" }
func (f optionalBoolFlag) String() string {
	return strconv.FormatBool(f.field == nil || *f.field == nil || **f.field)
}

func (f optionalBoolFlag) Set(s string) error {
	value, err := strconv.ParseBool(s)
	*f.field = &value
	return err
}

type periodFlag struct{ field *metav1.Duration }

func (f periodFlag) Type() string { return "duration" }
func (f periodFlag) String() string {
	if f.field == nil {
		return "0s"
	}
	return f.field.Duration.String()
}

func (f periodFlag) Set(s string) (err error) {
	f.field.Duration, err = time.ParseDuration(s)
	return err
}

type int32Flag struct{ field **int32 }

func (f int32Flag) Type() string { return "int32" }
func (f int32Flag) String() string {
	if f.field == nil || *f.field == nil {
		return "0"
	}
	return strconv.Itoa(int(**f.field))
}

func (f int32Flag) Set(s string) error {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return err
	}
	value := int32(n)
	*f.field = &value
	return nil
}

type durationFlag struct{ field **metav1.Duration }

func (f durationFlag) Type() string { return "duration" }
func (f durationFlag) String() string {
	if f.field == nil || *f.field == nil {
		return "0s"
	}
	return (*f.field).Duration.String()
}

func (f durationFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	*f.field = &metav1.Duration{Duration: d}
	return nil
}
