package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/switchyard-net/switchyard/internal/endpoints"
	"github.com/switchyard-net/switchyard/internal/endpoints/election"
)

// controllerOptions is what the flags of `switchyard controller` set.
type controllerOptions struct {
	kubeconfig     string
	qps            float32
	burst          int
	metricsAddress string
	elect          bool
	election       election.Config
	endpoints      endpoints.Config
}

// newControllerCommand returns `switchyard controller`, which keeps EndpointSlices and Endpoints up to date.
func newControllerCommand() *cobra.Command {
	o := controllerOptions{election: election.Defaults(), endpoints: endpoints.Defaults()}
	command := &cobra.Command{
		Use:   "controller",
		Short: "Run the endpoints controllers: EndpointSlice, Endpoints and EndpointSlice mirroring",
		Long: `Run the controllers that keep the EndpointSlices and Endpoints of Services equal to the pods that their selectors
choose. They take the place of the three of kube-controller-manager, which must then run without them:

  --controllers=*,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller

Several processes may run: they elect one by a Lease, and the others stand by. Flags that kube-controller-manager has
too have its names, meaning and defaults.

  /healthz   200 while the process works, 500 if it leads with a lease that ran out
  /readyz    200 if it leads and has read the cluster, or stands by; 503 if not
  /metrics   kube-controller-manager's endpoint_slice_controller_*, endpoint_slice_mirroring_controller_*, workqueue_*

On SIGTERM the writes under way end, the lease is given back, and the process exits 0.`,
		Example: `  # on a machine with a kubeconfig, as the only process
  switchyard controller --kubeconfig ~/.kube/config --leader-elect=false

  # in a pod, metrics on every address
  switchyard controller --metrics-bind-address 0.0.0.0:10253`,
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
	o.addFlags(command.Flags())
	return command
}

func (o *controllerOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.kubeconfig, "kubeconfig", "",
		"file that says how to reach the API server (empty: $KUBECONFIG, else the pod's service account)")
	flags.Float32Var(&o.qps, "kube-api-qps", 500, "requests a second to the API server, at most (-1: no limit)")
	flags.IntVar(&o.burst, "kube-api-burst", 1000, "requests that may exceed --kube-api-qps for a moment")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", "127.0.0.1:10253",
		"serve /metrics, /healthz and /readyz on this address (empty: do not)")

	flags.BoolVar(&o.elect, "leader-elect", true, "elect one of several processes by a Lease (false: this is the only one)")
	flags.StringVar(&o.election.Namespace, "leader-elect-resource-namespace", o.election.Namespace, "namespace of the Lease")
	flags.StringVar(&o.election.Name, "leader-elect-resource-name", o.election.Name, "name of the Lease")
	flags.DurationVar(&o.election.LeaseDuration, "leader-elect-lease-duration", o.election.LeaseDuration,
		"others wait this long for a leader that has fallen silent")
	flags.DurationVar(&o.election.RenewDeadline, "leader-elect-renew-deadline", o.election.RenewDeadline,
		"a leader that cannot renew the Lease stops after this long")
	flags.DurationVar(&o.election.RetryPeriod, "leader-elect-retry-period", o.election.RetryPeriod,
		"time between two tries to take or renew the Lease")

	slices, e, mirroring := &o.endpoints.Slices, &o.endpoints.Endpoints, &o.endpoints.Mirroring
	flags.Int32Var(&slices.MaxEndpointsPerSlice, "max-endpoints-per-slice", slices.MaxEndpointsPerSlice,
		"endpoints in one EndpointSlice, at most (1 to 1000)")
	flags.IntVar(&slices.ConcurrentSyncs, "concurrent-service-endpoint-syncs", slices.ConcurrentSyncs,
		"Services whose EndpointSlices are synced at once (1 to 50)")
	flags.DurationVar(&slices.UpdatesBatchPeriod, "endpointslice-updates-batch-period", slices.UpdatesBatchPeriod,
		"wait this long after a pod's change for others to write in one go")
	flags.IntVar(&e.ConcurrentSyncs, "concurrent-endpoint-syncs", e.ConcurrentSyncs,
		"Services whose Endpoints are synced at once (1 to 50)")
	flags.DurationVar(&e.UpdatesBatchPeriod, "endpoint-updates-batch-period", e.UpdatesBatchPeriod,
		"the same wait before Endpoints are written")
	flags.Int32Var(&mirroring.MaxEndpointsPerSubset, "mirroring-max-endpoints-per-subset", mirroring.MaxEndpointsPerSubset,
		"addresses mirrored of one subset of Endpoints, at most (1 to 1000)")
	flags.IntVar(&mirroring.ConcurrentSyncs, "mirroring-concurrent-service-endpoint-syncs", mirroring.ConcurrentSyncs,
		"Endpoints mirrored at once (1 to 50)")
	flags.DurationVar(&mirroring.UpdatesBatchPeriod, "mirroring-endpointslice-updates-batch-period", mirroring.UpdatesBatchPeriod,
		"wait this long after a mirrored EndpointSlice changed before looking at it")
	flags.DurationVar(&o.endpoints.Resync, "min-resync-period", o.endpoints.Resync,
		"sync every Service again after this long without a change (0: never)")
}

// run serves and works until ctx ends, or one of both fails.
func (o *controllerOptions) run(ctx context.Context, log *slog.Logger) error {
	if err := o.validate(); err != nil {
		return usageError{err}
	}
	restConfig, err := clusterConfig(o.kubeconfig)
	if err != nil {
		return usageError{err}
	}
	// Renewals must not wait behind the controllers' writes, and must fail in time to try again.
	leaseConfig := rest.CopyConfig(restConfig)
	leaseConfig.Timeout = o.election.RenewDeadline / 2
	restConfig.QPS, restConfig.Burst = o.qps, o.burst
	// The controllers speak protobuf: decoding pods is most of what they do.
	restConfig.ContentType = "application/vnd.kubernetes.protobuf"
	restConfig.WarningHandler = rest.NoWarnings{} // Endpoints are deprecated, which every answer about them says
	restConfig.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return fmt.Errorf("make a client for the API server: %w", err)
	}
	controllers, err := endpoints.New(o.endpoints, endpoints.Deps{Client: client, Log: log, Registerer: registry})
	if err != nil {
		return err
	}
	process := &controllerProcess{controllers: controllers, registry: registry}
	if o.elect {
		if process.elector, err = newElector(o.election, leaseConfig, registry, log); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	if o.metricsAddress != "" {
		group.Go(func() error { return serveController(ctx, o.metricsAddress, process) })
	}
	group.Go(func() error { return process.work(ctx) })
	return group.Wait()
}

func (o *controllerOptions) validate() error {
	errs := []error{o.endpoints.Validate()}
	if o.elect {
		errs = append(errs, o.election.Validate())
	}
	if o.qps == 0 || o.burst <= 0 {
		errs = append(errs, fmt.Errorf("--kube-api-qps=%v, --kube-api-burst=%d: must not be 0; leave them out for 500 and 1000",
			o.qps, o.burst))
	}
	return errors.Join(errs...)
}

// clusterConfig returns how to reach the API server: by the file, else by $KUBECONFIG, else as a pod.
func clusterConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		kubeconfig = os.Getenv(clientcmd.RecommendedConfigPathEnvVar)
	}
	if kubeconfig != "" {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig %s: %w", kubeconfig, err)
		}
		return config, nil
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("no --kubeconfig, no $KUBECONFIG, and not in a pod with a service account (%w): "+
			"name a kubeconfig file", err)
	}
	return config, nil
}

// newElector returns the elector, with upstream's gauge of who leads.
func newElector(cfg election.Config, config *rest.Config, registry prometheus.Registerer, log *slog.Logger) (*election.Elector, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for the lease: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find this host's name, for the lease: %w", err)
	}
	leads := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "leader_election_master_status",
		Help: "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master.",
	}, []string{"name"})
	registry.MustRegister(leads)
	status := leads.WithLabelValues(cfg.Name)
	return election.New(cfg, election.Deps{
		Client:   client,
		Identity: host + "_" + uuid.NewString(), // a restarted process must not take the lease for its own
		Log:      log,
		Leading: func(leading bool) {
			status.Set(0)
			if leading {
				status.Set(1)
			}
		},
	})
}
