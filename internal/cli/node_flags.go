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
	flags.Var(modeFlag[config.ProxyMode]{&kp.Mode}, "proxy-mode", "how to serve Services; only nftables is built in")
	flags.Var((*listFlag)(&kp.NodePortAddresses), "nodeport-addresses",
		"answer on node ports only at addresses in these networks; keywords: primary (the Node's own), localhost, all")
	flags.StringVar(&kp.ClusterCIDR, "cluster-cidr", kp.ClusterCIDR, "networks of all pods, one of each family")
	flags.Var(modeFlag[config.LocalMode]{&kp.DetectLocalMode}, "detect-local-mode",
		"how pods of this node are told from others: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix")
	flags.StringVar(&kp.DetectLocal.BridgeInterface, "pod-bridge-interface", kp.DetectLocal.BridgeInterface, "bridge that pods are behind, for BridgeInterface")
	flags.StringVar(&kp.DetectLocal.InterfaceNamePrefix, "pod-interface-name-prefix", kp.DetectLocal.InterfaceNamePrefix, "how names of pods' interfaces begin, for InterfaceNamePrefix")
	flags.BoolVar(&kp.NFTables.MasqueradeAll, "masquerade-all", kp.NFTables.MasqueradeAll, "give all traffic to cluster IPs this node's source address")
	flags.Var(int32Flag{&kp.NFTables.MasqueradeBit}, "masquerade-bit", "bit of the packet mark that asks for masquerading, 0 to 31")
	flags.DurationVar(&kp.NFTables.SyncPeriod.Duration, "sync-period", kp.NFTables.SyncPeriod.Duration,
		"compare all rules with the kernel this often (0: 30s, or 1h if it can be told cheaply that nobody changed them)")
	flags.DurationVar(&kp.NFTables.MinSyncPeriod.Duration, "min-sync-period", kp.NFTables.MinSyncPeriod.Duration,
		"least time between two writes to the kernel; a change after a quiet period never waits (0: 10ms)")
	flags.Var(int32Flag{&kp.OOMScoreAdj}, "oom-score-adj", "oom_score_adj of the process, -1000 to 1000")
	addConntrackFlags(flags, kp)
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
