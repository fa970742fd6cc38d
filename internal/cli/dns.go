package cli

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	resolver "github.com/miekg/dns"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/dns"
	"github.com/switchyard-net/switchyard/internal/dns/plugin"
	"github.com/switchyard-net/switchyard/internal/dns/server"
	"github.com/switchyard-net/switchyard/internal/source"
)

// dnsOptions is what the flags of `switchyard dns` set.
type dnsOptions struct {
	kubeconfig string
	nodeName   string
	server     server.Config
}

// newDNSCommand returns `switchyard dns`.
func newDNSCommand() *cobra.Command {
	var o dnsOptions
	command := &cobra.Command{
		Use:   "dns",
		Short: "Run the cluster DNS, in the place of CoreDNS",
		Long: `Run the cluster DNS, in the place of CoreDNS: CoreDNS 1.15 with a Corefile, in which the directive kubernetes (or
switchyard) answers from our own name table, and plain questions for the cluster zone are answered without the chain of plugins
wherever the Corefile allows that. What it allows is logged for each zone; 'switchyard dns check' shows it beforehand.

Without --corefile, the Corefile is kubeadm's. Addresses for health, readiness and metrics are those of its plugins health, ready and
prometheus. The last state of the cluster goes on being served while the API server cannot be reached.`,
		Example: `  # in a Deployment behind the Service kube-dns, with CoreDNS's own ConfigMap
  switchyard dns --corefile /etc/coredns/Corefile

  # on a machine with a kubeconfig
  switchyard dns --kubeconfig ~/.kube/config --bind 127.0.0.1`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			log, err := newLogger(command)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return o.run(ctx, log)
		},
	}
	flags := command.Flags()
	o.addCorefileFlags(flags)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "",
		"file that says how to reach the API server (empty: $KUBECONFIG, else the pod's service account)")
	flags.StringVar(&o.nodeName, "node-name", os.Getenv("NODE_NAME"),
		"know the pods of this node alone, for autopath and pods verified (empty: all, where the Corefile needs them)")
	flags.IntVar(&o.server.Sockets, "sockets", 0, "sockets of the fast path for each address (0: one for each CPU, 8 at most)")
	flags.BoolVar(&o.server.NoFastPath, "no-fast-path", false, "leave every question to CoreDNS")
	command.AddCommand(newDNSCheckCommand(), newDNSQueryCommand())
	return command
}

// addCorefileFlags defines the flags that say what is served and where.
func (o *dnsOptions) addCorefileFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.server.Corefile, "corefile", "", "serve by this Corefile (empty: kubeadm's)")
	flags.StringVar(&o.server.Zone, "zone", "cluster.local", "the cluster's domain, where there is no --corefile")
	flags.Var((*listFlag)(&o.server.Bind), "bind", "listen on these addresses, where a server block does not say it by bind (empty: all)")
}

// run serves until ctx is done.
func (o *dnsOptions) run(ctx context.Context, logger *slog.Logger) error {
	klog.SetSlogLogger(logger)
	forwardStandardLog(logger)
	needs, err := o.needs()
	if err != nil {
		return usageError{err}
	}
	restConfig, err := clusterConfig(o.kubeconfig)
	if err != nil {
		return usageError{err}
	}
	client, err := source.NewClient(restConfig)
	if err != nil {
		return err
	}
	src, err := source.New(sourceConfig(needs, o.nodeName), source.Deps{Client: client, Log: logger})
	if err != nil {
		return err
	}
	subscription := src.Subscribe()
	cluster, err := dns.New(o.server, dns.Deps{
		Snapshots: subscription, Log: logger, Selector: source.ParseSelector, Search: hostSearch(logger),
		Keeps: plugin.Keeps{PodNames: needs.PodNames, Labels: needs.Labels}, PodAt: podAt(src, needs),
	})
	if err != nil {
		return err
	}
	if settled := limitGarbage(garbageAfterwards); settled != nil {
		settled()
	}
	logger.Info("starting", "version", version(), "apiServer", restConfig.Host)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return src.Run(ctx) })
	group.Go(func() error { return cluster.Run(ctx) })
	return group.Wait()
}

// needs returns what the Corefile needs, and checks the addresses.
func (o *dnsOptions) needs() (server.Needs, error) {
	for _, address := range o.server.Bind {
		if _, err := netip.ParseAddr(address); err != nil {
			return server.Needs{}, fmt.Errorf("--bind %s: want IP addresses", address)
		}
	}
	return o.server.Needs()
}

// sourceConfig returns what to read of the cluster.
func sourceConfig(needs server.Needs, nodeName string) source.Config {
	config := source.Config{
		Kinds:        []source.Kind{source.Services, source.EndpointSlices, source.Namespaces},
		NodeName:     nodeName,
		OmitPodNames: !needs.PodNames, Labels: needs.Labels,
	}
	if needs.Pods {
		config.Kinds = append(config.Kinds, source.Pods)
	}
	return config
}

// podAt returns what knows pods by their addresses; nil: nothing does.
func podAt(src *source.Source, needs server.Needs) func(netip.Addr) (plugin.Pod, bool) {
	if !needs.Pods {
		return nil
	}
	return func(addr netip.Addr) (plugin.Pod, bool) {
		pod, ok := src.PodAt(addr)
		if !ok {
			return plugin.Pod{}, false
		}
		return plugin.Pod{Ref: pod.Ref, Labels: pod.Labels}, true
	}
}

// hostSearch returns the search list of this machine.
func hostSearch(log *slog.Logger) []string {
	config, err := resolver.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		log.Warn("the search list of the host is not known to autopath", "error", err)
		return nil
	}
	var search []string
	for _, name := range config.Search {
		search = append(search, resolver.CanonicalName(name))
	}
	return search
}

// forwardStandardLog sends what CoreDNS's plugins log, by package log and with the level in front, to a logger.
func forwardStandardLog(logger *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(standardLog{logger})
}

type standardLog struct{ logger *slog.Logger }

func (l standardLog) Write(line []byte) (int, error) {
	text := string(bytes.TrimSpace(line))
	write := l.logger.Info
	for prefix, of := range map[string]func(string, ...any){
		"[INFO] ": l.logger.Info, "[WARNING] ": l.logger.Warn, "[ERROR] ": l.logger.Error, "[FATAL] ": l.logger.Error,
		"[PANIC] ": l.logger.Error, "[DEBUG] ": l.logger.Debug,
	} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			text, write = rest, of
		}
	}
	write(text, "from", "coredns")
	return len(line), nil
}

// newDNSCheckCommand returns `switchyard dns check`.
func newDNSCheckCommand() *cobra.Command {
	var o dnsOptions
	command := &cobra.Command{
		Use:   "check",
		Short: "Check a Corefile, and show which of its zones have the fast path",
		Long: `Read a Corefile with its imports, and print for each zone whether plain questions are answered without the chain of plugins,
and if not, which directive rules that out. Every plugin reads its directive and the files that it names; nothing is served, and what a
plugin finds out only when it starts, such as that a port is taken, is not checked.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			zones, err := o.server.Check(source.ParseSelector)
			if err != nil {
				return err
			}
			for _, z := range zones {
				fast, cached := "fast path", "forwarded answers are kept"
				if z.Slow != "" {
					fast, cached = "CoreDNS answers all: "+z.Slow, ""
				} else if z.Uncached != "" {
					cached = "forwarded answers are not kept: " + z.Uncached
				}
				fmt.Fprintf(command.OutOrStdout(), "%s\t%s\t%s\n", z.Where, z.Zone, strings.TrimSuffix(fast+"; "+cached, "; "))
			}
			return nil
		},
	}
	o.addCorefileFlags(command.Flags())
	return command
}

// addNodeDNSFlags defines the flags of `switchyard node` for the cluster DNS on the node.
func addNodeDNSFlags(flags *pflag.FlagSet, d *config.DNS) {
	flags.BoolVar(&d.Enabled, "dns", d.Enabled, "serve the cluster DNS on this node too, at the address of its Service")
	flags.StringVar(&d.Corefile, "dns-corefile", d.Corefile, "serve by this Corefile (empty: one like kubeadm's, with autopath for the node's pods)")
	flags.StringVar(&d.Zone, "dns-zone", d.Zone, "the cluster's domain, where there is no --dns-corefile (empty: cluster.local)")
	flags.StringVar(&d.Service, "dns-service", d.Service, "Service of the cluster DNS, as namespace/name (empty: kube-system/kube-dns)")
	flags.Var((*listFlag)(&d.LocalAddresses), "dns-local-addresses", "serve on these addresses of the node besides, such as 169.254.20.10")
	flags.BoolVar(&d.NodeAddresses, "dns-node-addresses", d.NodeAddresses,
		"serve on the node's own addresses too, for other nodes: as an endpoint of the Service (such as of a pod in the host's network)")
}
