package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/switchyard-net/switchyard/internal/kernel/overlay"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/serviceenv"
	"github.com/switchyard-net/switchyard/internal/source"
)

// readTimeout is how long a command waits for the API server.
const readTimeout = 30 * time.Second

// dnsOfService is the value of --dns without one: the address of the Service kube-system/kube-dns.
const dnsOfService = "service"

// envOptions is what the flags of `switchyard env` set.
type envOptions struct {
	kubeconfig, namespace, dns, zone string
	links                            bool
}

// newEnvCommand returns `switchyard env`.
func newEnvCommand() *cobra.Command {
	var o envOptions
	command := &cobra.Command{
		Use:   "env [flags] [-- COMMAND [ARG...]]",
		Short: "Print the environment variables of Services, or run a command with them",
		Long: `Print the environment variables by which a container in a namespace finds Services (WEB_SERVICE_HOST, WEB_SERVICE_PORT, and
the set of Docker links), or run a command of this machine with them. They are those of the moment, as the kubelet's are.

With --dns, the command sees an /etc/resolv.conf of a pod in that namespace, in a mount namespace of its own, which needs root. The
name server is that of the Service kube-system/kube-dns, or the address given; this machine must reach it.`,
		Example: `  switchyard env --namespace shop
  switchyard env --namespace shop -- sh -c 'curl http://$WEB_SERVICE_HOST:$WEB_SERVICE_PORT/'
  switchyard env --namespace shop --dns -- curl http://web/`,
		Args: cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), command.OutOrStdout(), args)
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.kubeconfig, "kubeconfig", "",
		"file that says how to reach the API server (empty: $KUBECONFIG, else the pod's service account)")
	flags.StringVarP(&o.namespace, "namespace", "n", "default", "namespace of the process")
	flags.BoolVar(&o.links, "service-links", true, "those of the namespace's Services too, as enableServiceLinks of a pod (false: default/kubernetes alone)")
	flags.StringVar(&o.dns, "dns", "", "resolve the cluster's names in the command, by the name server at this address")
	flags.Lookup("dns").NoOptDefVal = dnsOfService
	flags.StringVar(&o.zone, "zone", "cluster.local", "the cluster's domain, for --dns")
	flags.SetInterspersed(false)
	return command
}

// run prints the variables, or becomes the command.
func (o *envOptions) run(ctx context.Context, out io.Writer, args []string) error {
	if o.dns != "" && len(args) == 0 {
		return usageError{fmt.Errorf("--dns is for a command: switchyard env --dns -- COMMAND")}
	}
	snap, err := readServices(ctx, o.kubeconfig)
	if err != nil {
		return err
	}
	if _, ok := snap.Namespaces.Get(o.namespace); !ok {
		return fmt.Errorf("there is no Namespace %q", o.namespace)
	}
	variables := serviceenv.Variables(snap, o.namespace, o.links)
	if len(args) == 0 {
		for _, v := range variables {
			fmt.Fprintln(out, v)
		}
		return nil
	}
	files := map[string][]byte{}
	if o.dns != "" {
		if files["/etc/resolv.conf"], err = o.resolvConf(snap); err != nil {
			return err
		}
	}
	return overlay.Exec(args, append(os.Environ(), variables...), files)
}

// resolvConf returns that of a pod with dnsPolicy ClusterFirst (k8s.io/kubernetes/pkg/kubelet/network/dns).
func (o *envOptions) resolvConf(snap *model.Snapshot) ([]byte, error) {
	address := o.dns
	if address == dnsOfService {
		service, ok := snap.Services.Get(model.Ref{Namespace: "kube-system", Name: "kube-dns"})
		if !ok || len(service.ClusterIPs) == 0 {
			return nil, fmt.Errorf("--dns: there is no Service kube-system/kube-dns with a cluster IP; give the name server's address: --dns=ADDRESS")
		}
		address = service.ClusterIPs[0].String()
	}
	if _, err := netip.ParseAddr(address); err != nil {
		return nil, usageError{fmt.Errorf("--dns=%s: want an IP address", address)}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "nameserver %s\n", address)
	fmt.Fprintf(&b, "search %s\n", strings.Join(append(clusterSearch(o.namespace, o.zone), hostSearch(slog.New(slog.DiscardHandler))...), " "))
	b.WriteString("options ndots:5\n")
	return []byte(b.String()), nil
}

// clusterSearch is the search list of pods in a namespace.
func clusterSearch(namespace, zone string) []string {
	return []string{namespace + ".svc." + zone, "svc." + zone, zone}
}

// readServices returns the Services and Namespaces of the cluster.
func readServices(ctx context.Context, kubeconfig string) (*model.Snapshot, error) {
	return readSnapshot(ctx, kubeconfig, source.Config{Kinds: []source.Kind{source.Services, source.Namespaces}})
}

// readSnapshot returns the present state of the cluster.
func readSnapshot(ctx context.Context, kubeconfig string, config source.Config) (*model.Snapshot, error) {
	restConfig, err := clusterConfig(kubeconfig)
	if err != nil {
		return nil, usageError{err}
	}
	client, err := source.NewClient(restConfig)
	if err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	klog.SetSlogLogger(quiet)
	src, err := source.New(config, source.Deps{Client: client, Log: quiet})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); _ = src.Run(ctx) }()
	snap, _, err := src.Subscribe().Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the API server at %s: %w", restConfig.Host, src.Ready())
	}
	cancel()
	<-done
	return snap, nil
}
