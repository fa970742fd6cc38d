package controlplane

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// controllers lists what runs of kube-controller-manager: what makes workloads work. Its three endpoints controllers are
// left out because ours do their work; volumes, node address allocation, certificate signing and autoscaling because
// there is nothing here for them to act on.
func controllers() []string {
	return []string{
		names.ServiceAccountTokenController,
		names.ServiceAccountController,
		names.RootCACertificatePublisherController,
		names.NamespaceController,
		names.GarbageCollectorController,
		names.DeploymentController,
		names.ReplicaSetController,
		names.ReplicationControllerController,
		names.StatefulSetController,
		names.DaemonSetController,
		names.JobController,
		names.CronJobController,
		names.TTLAfterFinishedController,
		names.PodGarbageCollectorController,
		names.NodeLifecycleController,
		names.TaintEvictionController,
		names.ServiceCIDRController,
		names.ClusterRoleAggregationController,
		names.ResourceQuotaController,
		names.DisruptionController,
		names.EphemeralVolumeController,
		names.ValidatingAdmissionPolicyStatusController,
	}
}

// newControllerManager parses the command line that kube-controller-manager would be given. There is one control plane,
// so nobody to elect a leader from.
func newControllerManager(spec *cluster.Spec) (*options.KubeControllerManagerOptions, error) {
	o, err := options.NewKubeControllerManagerOptions()
	if err != nil {
		return nil, fmt.Errorf("make the options of kube-controller-manager: %w", err)
	}
	flags := pflag.NewFlagSet("kube-controller-manager", pflag.ContinueOnError)
	sets := o.Flags(app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases())
	for _, set := range sets.FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse([]string{
		"--kubeconfig=" + spec.ComponentKubeconfig(cluster.ControllerManagerUser),
		"--controllers=" + strings.Join(controllers(), ","),
		"--leader-elect=false",
		"--secure-port=0",
		"--profiling=false",
		"--service-account-private-key-file=" + spec.PKIFile(cluster.ServiceAccountsName+".key"),
		"--root-ca-file=" + spec.PKIFile(cluster.CAName+".crt"),
		"--cluster-cidr=" + cluster.PodCIDRs,
		"--service-cluster-ip-range=" + cluster.ServiceCIDRs,
		// The defaults of 50 s and 300 s are meant for networks that lose heartbeats.
		"--node-monitor-grace-period=20s",
		"--kube-api-qps=100",
		"--kube-api-burst=200",
	}); err != nil {
		return nil, fmt.Errorf("parse the flags of kube-controller-manager: %w", err)
	}
	return o, nil
}

// runControllerManager runs the controllers until the context ends.
func runControllerManager(ctx context.Context, o *options.KubeControllerManagerOptions) error {
	config, err := o.Config(ctx, app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases())
	if err != nil {
		return fmt.Errorf("configure kube-controller-manager: %w", err)
	}
	if err := app.Run(ctx, config.Complete()); err != nil {
		return fmt.Errorf("run kube-controller-manager: %w", err)
	}
	return nil
}
