package controlplane

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// newScheduler parses the command line that kube-scheduler would be given.
func newScheduler(spec *cluster.Spec) (*options.Options, error) {
	kubeconfig := spec.ComponentKubeconfig(cluster.SchedulerUser)
	o := options.NewOptions()
	flags := pflag.NewFlagSet("kube-scheduler", pflag.ContinueOnError)
	for _, set := range o.Flags.FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse([]string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--leader-elect=false",
		"--secure-port=0",
		"--profiling=false",
	}); err != nil {
		return nil, fmt.Errorf("parse the flags of kube-scheduler: %w", err)
	}
	return o, nil
}

// runScheduler schedules pods until the context ends.
func runScheduler(ctx context.Context, o *options.Options) error {
	config, scheduler, err := app.Setup(ctx, o)
	if err != nil {
		return fmt.Errorf("set kube-scheduler up: %w", err)
	}
	if err := app.Run(ctx, config, scheduler); err != nil && ctx.Err() == nil {
		return fmt.Errorf("run kube-scheduler: %w", err)
	}
	return nil
}
