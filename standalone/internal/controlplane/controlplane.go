// Package controlplane runs etcd, kube-apiserver, kube-controller-manager, kube-scheduler in one process.
//
// It uses their Options and Run functions rather than their cobra commands, whose constructors install signal handlers
// that can exist only once in a process. All of them share one set of feature gates.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// readyPoll is how often the API server is asked whether it is ready.
const readyPoll = 100 * time.Millisecond

// components are the parts of the control plane that need the API server, and itself.
type components struct {
	apiServer  *apiserver.ServerRunOptions
	controller *controllermanager.KubeControllerManagerOptions
	scheduler  *scheduler.Options
}

// newComponents parses the command lines of all, and only then makes their shared feature gates take effect.
func newComponents(spec *cluster.Spec) (c components, err error) {
	if c.apiServer, err = newAPIServer(spec); err != nil {
		return c, err
	}
	if c.controller, err = newControllerManager(spec); err != nil {
		return c, err
	}
	if c.scheduler, err = newScheduler(spec); err != nil {
		return c, err
	}
	if err := c.apiServer.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return c, fmt.Errorf("set feature gates: %w", err)
	}
	utilfeature.DefaultMutableFeatureGate.AddMetrics()
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	return c, nil
}

// Run runs the control plane until the context ends or a part of it fails. The parts stop in the reverse of the order in
// which they start, so that the last writes still reach the disk.
func Run(ctx context.Context, spec *cluster.Spec, log *slog.Logger) error {
	parts, err := newComponents(spec)
	if err != nil {
		return err
	}
	stack := newStack(ctx)
	etcdReady := make(chan struct{})
	stack.start("etcd", func(ctx context.Context) error {
		return runEtcd(ctx, spec.Etcd(), func() { close(etcdReady) })
	})
	if !stack.wait(etcdReady) {
		return stack.stop()
	}
	log.Info("etcd is ready")
	stack.start("kube-apiserver", func(ctx context.Context) error { return runAPIServer(ctx, parts.apiServer) })
	client, err := newClient(spec)
	if err != nil {
		return errors.Join(err, stack.stop())
	}
	apiReady := make(chan struct{})
	stack.start("readiness", func(ctx context.Context) error {
		if awaitReady(ctx, client) {
			close(apiReady)
		}
		<-ctx.Done()
		return nil
	})
	if !stack.wait(apiReady) {
		return stack.stop()
	}
	log.Info("kube-apiserver is ready")
	if err := reconcileNodes(ctx, client, spec); err != nil {
		return errors.Join(err, stack.stop())
	}
	stack.start("kube-controller-manager", func(ctx context.Context) error { return runControllerManager(ctx, parts.controller) })
	stack.start("kube-scheduler", func(ctx context.Context) error { return runScheduler(ctx, parts.scheduler) })
	stack.start("endpoints controllers", func(ctx context.Context) error { return runEndpoints(ctx, spec, log) })
	if spec.NoDNS {
		if err := removeDNS(ctx, client); err != nil {
			return errors.Join(err, stack.stop())
		}
	} else {
		stack.start("cluster DNS", func(ctx context.Context) error { return runDNS(ctx, client, spec, log) })
	}
	stack.wait(nil)
	return stack.stop()
}

// newClient returns a client of the cluster's own API server.
func newClient(spec *cluster.Spec) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", spec.ComponentKubeconfig(cluster.ControllerUser))
	if err != nil {
		return nil, fmt.Errorf("load the controllers' kubeconfig: %w", err)
	}
	return kubernetes.NewForConfig(config)
}

// awaitReady returns true as soon as the API server says that it is ready, false when the context ends.
func awaitReady(ctx context.Context, client kubernetes.Interface) bool {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		var status int
		client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&status)
		if status == http.StatusOK {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}
