package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/endpoints/election"
	"github.com/switchyard-net/switchyard/internal/events"
	"github.com/switchyard-net/switchyard/internal/ingress"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/status"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/source"
)

// ingressOptions is what the flags of `switchyard ingress` set.
type ingressOptions struct {
	kubeconfig string
	config     *config.Ingress
	access     io.Writer // gets the access log
}

// newIngressCommand returns `switchyard ingress`.
func newIngressCommand() *cobra.Command {
	o := ingressOptions{config: config.DefaultIngress()}
	o.config.Pod, o.config.Node = podFromEnvironment(), os.Getenv("NODE_NAME")
	command := &cobra.Command{
		Use:   "ingress",
		Short: "Run the L7 entry: serve the cluster's Ingresses, in the place of ingress-nginx",
		Long: `Serve the cluster's Ingresses: requests for their hosts and paths go straight to the endpoints of their Services. Annotations and
the ConfigMap are those of ingress-nginx, and so are the flags that it has too; those of it that do nothing here are taken, with a
warning. No change drops a connection. What of an Ingress is not honoured is an Event on it ('kubectl describe ingress'), and
'switchyard ingress check' says it beforehand.

  :10254  /healthz and /readyz (200 once all routes are in force, until SIGTERM), /livez, /metrics

$POD_NAMESPACE, $POD_NAME and $NODE_NAME say who this process is. On SIGTERM it fails /healthz, goes on for
--shutdown-grace-period, takes no new connections, and ends with the last request, or after --drain-timeout.`,
		Example: `  # in a pod, behind a Service of type LoadBalancer or NodePort
  switchyard ingress --configmap ingress/settings --publish-service ingress/entry

  # on a machine with a kubeconfig
  switchyard ingress --kubeconfig ~/.kube/config --http-port 8080 --https-port 8443 --disable-leader-election`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			log, err := newLogger(command)
			if err != nil {
				return err
			}
			for _, f := range ingressNginxFlags() {
				if command.Flags().Changed(f.name) {
					log.Warn("a flag of ingress-nginx has no effect", "flag", "--"+f.name, "why", f.why)
				}
			}
			o.access = command.OutOrStdout()
			ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return o.run(ctx, log)
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.kubeconfig, "kubeconfig", "",
		"file that says how to reach the API server (empty: $KUBECONFIG, else the pod's service account)")
	addIngressFlags(flags, o.config)
	command.AddCommand(newIngressRoutesCommand(), newIngressCheckCommand())
	return command
}

// podFromEnvironment returns who this process is, as namespace/name; "": not known.
func podFromEnvironment() string {
	namespace, name := os.Getenv("POD_NAMESPACE"), os.Getenv("POD_NAME")
	if namespace == "" && name == "" {
		return ""
	}
	return namespace + "/" + name
}

// run serves until ctx is done.
func (o *ingressOptions) run(ctx context.Context, log *slog.Logger) error {
	if err := o.config.Validate(); err != nil {
		return usageError{err}
	}
	klog.SetSlogLogger(log)
	restConfig, err := clusterConfig(o.kubeconfig)
	if err != nil {
		return usageError{err}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if o.config.AccessLog != "" {
		file, err := os.OpenFile(o.config.AccessLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return usageError{fmt.Errorf("--access-log: %w", err)}
		}
		defer file.Close()
		o.access = file
	}
	entry, err := o.assemble(restConfig, registry, log)
	if err != nil {
		return err
	}
	log.Info("starting", "version", version(), "engine", o.config.Engine, "apiServer", restConfig.Host)
	process := &ingressProcess{config: o.config, entry: entry, registry: registry, log: log}
	all, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, serving := errgroup.WithContext(all)
	group.Go(func() error { return process.serve(serving) })
	group.Go(func() error {
		defer stop() // the probes are answered until the end
		running, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(serving, cancel)()
		return entry.Run(running)
	})
	return group.Wait()
}

// assemble puts the parts of the entry together.
func (o *ingressOptions) assemble(restConfig *rest.Config, registry *prometheus.Registry, log *slog.Logger) (*ingress.Entry, error) {
	c := o.config
	client, err := source.NewClient(restConfig)
	if err != nil {
		return nil, err
	}
	src, err := source.New(ingressSource(c), source.Deps{Client: client, Log: log, Metrics: registry})
	if err != nil {
		return nil, err
	}
	engine, err := newIngressEngine(c, registry, o.access, log)
	if err != nil {
		return nil, err
	}
	deps := ingress.Deps{
		Source: src, Snapshots: src.Subscribe(), Routes: route.New(ingressRoutes(c)), Engine: engine,
		Events: events.New(events.Config{NodeName: cmp.Or(config.RefOf(c.Pod).Name, c.Node)}, events.Deps{Client: client, Log: log}),
		Log:    log, Metrics: registry, Settled: limitGarbage(garbageOfEntry),
	}
	if statusConfig := ingressStatus(c); c.Status.Update && statusConfig.Writes() {
		deps.Status = status.New(statusConfig, status.Deps{Client: client, Log: log})
	} else if c.Status.Update {
		log.Warn("no status is written: name the entry's addresses by --publish-service or --publish-status-address, or set $POD_NAMESPACE and $POD_NAME")
	}
	if c.Election.Enabled {
		elector, err := newElector(ingressElection(c), leaseConfig(restConfig, c.Election.TTL), registry, log)
		if err != nil {
			return nil, err
		}
		deps.Lead = elector.Run
	}
	settings := ingress.Config{
		Classes: ingress.Classes{
			Controllers: c.Classes.Controllers, Name: c.Classes.Name, ByName: c.Classes.ByName, WithoutClass: c.Classes.WithoutClass,
		},
		ConfigMap: config.RefOf(c.Objects.ConfigMap), ConfigMaps: c.Objects.ConfigMaps(), Secrets: c.Objects.Secrets(),
		Pace: ingressPace(c.Engine), Grace: c.Shutdown.Grace,
	}
	if c.Watch.NamespaceSelector != "" {
		if settings.Namespaces, err = source.ParseSelector(c.Watch.NamespaceSelector); err != nil {
			return nil, usageError{fmt.Errorf("--watch-namespace-selector: %w", err)}
		}
	}
	return ingress.New(settings, deps)
}

// ingressPace is the least time between two tables: the native engine takes one in no time, nginx starts new processes for it.
func ingressPace(engine string) time.Duration {
	if engine == config.EngineNginx {
		return time.Second
	}
	return 5 * time.Millisecond
}

// ingressSource returns what to read of the cluster.
func ingressSource(c *config.Ingress) source.Config {
	out := source.Config{
		Kinds:     []source.Kind{source.Services, source.EndpointSlices, source.Ingresses, source.IngressClasses},
		Namespace: c.Watch.Namespace, AnnotationPrefix: c.Watch.AnnotationsPrefix, NodeName: c.Node,
	}
	if c.Node != "" {
		out.Kinds = append(out.Kinds, source.Nodes)
	}
	if c.Watch.NamespaceSelector != "" {
		out.Kinds, out.Labels = append(out.Kinds, source.Namespaces), true
	}
	return out
}

func ingressRoutes(c *config.Ingress) route.Config {
	out := route.Config{
		Node: c.Node, ConfigMap: config.RefOf(c.Objects.ConfigMap), TCP: config.RefOf(c.Objects.TCPServices), UDP: config.RefOf(c.Objects.UDPServices),
		DefaultBackend: config.RefOf(c.Objects.DefaultBackend), DefaultCertificate: config.RefOf(c.Objects.DefaultCertificate),
		NoPassthrough: !c.Listen.Passthrough,
	}
	for _, port := range []int{c.Listen.HTTP, c.Listen.HTTPS, c.Health.Port} {
		if port != 0 {
			out.Reserved = append(out.Reserved, uint16(port))
		}
	}
	return out
}

func ingressStatus(c *config.Ingress) status.Config {
	out := status.Config{
		Service: config.RefOf(c.Status.Service), Pod: config.RefOf(c.Pod),
		InternalAddresses: c.Status.InternalAddresses, RemoveOnShutdown: c.Status.RemoveOnShutdown,
	}
	for _, a := range c.Status.Addresses {
		address := model.IngressAddress{Hostname: strings.ToLower(a)}
		if addr, err := netip.ParseAddr(a); err == nil {
			address = model.IngressAddress{Addr: addr}
		}
		out.Addresses = append(out.Addresses, address)
	}
	return out
}

func ingressElection(c *config.Ingress) election.Config {
	return election.Config{
		Namespace: cmp.Or(config.RefOf(c.Pod).Namespace, "kube-system"), Name: c.Election.ID,
		LeaseDuration: c.Election.TTL, RenewDeadline: c.Election.TTL / 2, RetryPeriod: c.Election.TTL / 6,
	}
}

// leaseConfig is for a client of the Lease alone, whose requests fail in time to try again.
func leaseConfig(c *rest.Config, ttl time.Duration) *rest.Config {
	out := rest.CopyConfig(c)
	out.Timeout = ttl / 4
	return out
}
