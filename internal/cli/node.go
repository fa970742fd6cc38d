package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/kernel/ownpages"
	"github.com/switchyard-net/switchyard/internal/node"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/source"
)

// The values of GOGC for a node, unless the environment has one. Nearly all of its heap lives long: garbage is collected
// more eagerly once there is little of it, and a machine has better uses for memory.
const (
	garbageAtStart    = 100
	garbageAfterwards = 20
	// garbageOfEntry is that of an entry, which makes garbage with each handshake of TLS.
	garbageOfEntry = 50
)

// nodeOptions is what the flags of `switchyard node` set.
type nodeOptions struct {
	file                string
	master              string
	allowNetworkOverlap bool
	// kubeProxy holds the flags that are fields of the file too.
	kubeProxy *config.KubeProxy
}

// newNodeCommand returns `switchyard node`.
func newNodeCommand() *cobra.Command {
	o := nodeOptions{kubeProxy: config.DefaultKubeProxy()}
	command := &cobra.Command{
		Use:   "node",
		Short: "Run the service proxy of this node, in the place of kube-proxy",
		Long: `Run the service proxy of this node, in the place of kube-proxy: keep the kernel's rules equal to the Services and
EndpointSlices of the API server. Flags and the configuration file have kube-proxy's names, meaning and defaults, so that
the ConfigMap of a kube-proxy DaemonSet can be used as it is. A flag that is given wins over the file.

  :10256  /healthz (503 also while the Node is being deleted), /livez
  :10249  /proxyMode, /metrics, /configz, /healthz, /flagz, /statusz, and with --profiling /debug/pprof

The rules stay in force when the process ends; 'switchyard cleanup' removes them.`,
		Example: `  # on a cluster, with kube-proxy's own configuration
  switchyard node --config /var/lib/kube-proxy/config.conf --hostname-override "$NODE_NAME"

  # with flags
  switchyard node --kubeconfig node.conf --cluster-cidr 10.244.0.0/16 --nodeport-addresses primary`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return o.run(ctx, command)
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.file, "config", "", "read a KubeProxyConfiguration from this file")
	flags.StringVar(&o.master, "master", "", "URL of the API server, in the place of the kubeconfig's")
	flags.BoolVar(&o.allowNetworkOverlap, "allow-network-overlap", false,
		"start even if the Service network collides with a network of this host or of its pods")
	addKubeProxyFlags(flags, o.kubeProxy)
	return command
}

// run reads the configuration and serves until ctx is done.
func (o *nodeOptions) run(ctx context.Context, command *cobra.Command) error {
	kp, err := o.configuration(command.Flags())
	if err != nil {
		return usageError{err}
	}
	cfg, notes, err := nodeConfig(kp)
	if err != nil {
		return usageError{err}
	}
	cfg.AllowNetworkOverlap = o.allowNetworkOverlap
	log, err := newNodeLogger(command, kp)
	if err != nil {
		return err
	}
	klog.SetSlogLogger(log) // what client-go has to say
	forwardStandardLog(log) // and CoreDNS
	for _, note := range notes {
		log.Warn("configuration", "note", note)
	}
	restConfig, err := o.restConfig(kp.ClientConnection.Kubeconfig)
	if err != nil {
		return usageError{err}
	}
	client, err := source.NewClient(restConfig)
	if err != nil {
		return err
	}
	n, err := node.New(ctx, cfg, node.Deps{
		Client:  client,
		Log:     log,
		Settled: limitGarbage(garbageAfterwards),
		Search:  hostSearch(log),
		About:   proxy.Status{Configuration: kp, Flags: flagValues(command.Flags()), Version: version()},
	})
	if err != nil {
		return err
	}
	log.Info("starting", "version", version(), "node", cfg.Name, "mode", cfg.Mode, "apiServer", restConfig.Host)
	return n.Run(ctx)
}

// limitGarbage sets how much garbage the process may hold while it starts, and returns what sets it for later and gives
// back what the start has used.
func limitGarbage(afterwards int) (settled func()) {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	debug.SetGCPercent(garbageAtStart)
	return func() {
		debug.SetGCPercent(afterwards)
		debug.FreeOSMemory()
		_ = ownpages.Release() // an error costs memory only
	}
}

// configuration returns the file's configuration, if there is one, with the flags that were given put over it.
func (o *nodeOptions) configuration(given *pflag.FlagSet) (*config.KubeProxy, error) {
	if o.file == "" {
		return o.kubeProxy, nil
	}
	kp, err := readKubeProxy(o.file)
	if err != nil {
		return nil, err
	}
	over := pflag.NewFlagSet("", pflag.ContinueOnError)
	addKubeProxyFlags(over, kp)
	var errs []error
	// Flags for one mode last: each holds what it and those for all modes made of it on the command line.
	for _, ofAllModes := range []bool{true, false} {
		given.Visit(func(f *pflag.Flag) {
			if _, all := f.Value.(allFlag); all == ofAllModes && over.Lookup(f.Name) != nil {
				errs = append(errs, over.Set(f.Name, f.Value.String()))
			}
		})
	}
	return kp, errors.Join(errs...)
}

// readKubeProxy reads a configuration file; errors name it.
func readKubeProxy(path string) (*config.KubeProxy, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	defer file.Close()
	kp, err := config.ParseKubeProxy(file)
	if err != nil {
		return nil, fmt.Errorf("--config %s: %w", path, err)
	}
	return kp, nil
}

// nodeConfig returns the configuration of this host's node.
func nodeConfig(kp *config.KubeProxy) (config.Node, []string, error) {
	hostname, err := os.Hostname()
	if err != nil && kp.HostnameOverride == "" {
		return config.Node{}, nil, fmt.Errorf("find this host's name (or pass --hostname-override): %w", err)
	}
	return config.FromKubeProxy(kp, hostname)
}

// restConfig returns how to reach the API server.
func (o *nodeOptions) restConfig(kubeconfig string) (*rest.Config, error) {
	if o.master == "" {
		return clusterConfig(kubeconfig)
	}
	restConfig, err := clientcmd.BuildConfigFromFlags(o.master, kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--master %s: %w", o.master, err)
	}
	return restConfig, nil
}

// flagValues returns "name=value" of all flags, in order.
func flagValues(flags *pflag.FlagSet) []string {
	var out []string
	flags.VisitAll(func(f *pflag.Flag) { out = append(out, f.Name+"="+f.Value.String()) })
	return out
}
