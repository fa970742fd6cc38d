// Package node runs one node of a standalone cluster: the kubelet, its container runtime, the service proxy. The process
// was born in the node's namespaces.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// readyPoll is how often a node asks whether the API server is ready before it starts its kubelet, which would wait for
// seconds after an attempt that failed.
const readyPoll = 200 * time.Millisecond

// Run runs the node until the context ends, or a part of it fails; then every pod of it ends too.
func Run(ctx context.Context, spec *cluster.Spec, name string, log *slog.Logger) error {
	index, err := spec.NodeIndex(name)
	if err != nil {
		return err
	}
	resolver, err := writeResolver(spec, name)
	if err != nil {
		return err
	}
	if err := isolate(name, spec.Node(name), resolver); err != nil {
		return err
	}
	go reapOrphans(ctx, log)
	if err := reachOutside(ctx, index); err != nil {
		log.Warn("pods do not reach the client outside", "error", err)
	}
	socket := filepath.Join(spec.Node(name), "cri.sock")
	containers, err := newRuntime(spec, index, socket, log)
	if err != nil {
		return err
	}
	// The runtime ends after the kubelet, which would report its end as a failure of the node.
	rest, stopRuntime := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRuntime()
	ended := make(chan error, 1)
	go func() { ended <- containers.Run(rest) }()

	parts, stopParts := context.WithCancelCause(ctx)
	defer stopParts(nil)
	go func() {
		err := <-ended
		stopParts(fmt.Errorf("the container runtime ended: %w", err))
		ended <- err
	}()
	k := &kubelet{spec: spec, index: index, socket: socket, resolver: resolver}
	err = runWhenReady(parts, spec, k, log)
	if cause := context.Cause(parts); ctx.Err() == nil && cause != nil {
		err = errors.Join(err, cause)
	}
	stopRuntime()
	return errors.Join(err, <-ended)
}

// runWhenReady waits for the API server and then runs what needs it.
func runWhenReady(ctx context.Context, spec *cluster.Spec, k *kubelet, log *slog.Logger) error {
	config, err := clientcmd.BuildConfigFromFlags("", spec.ComponentKubeconfig(k.name()))
	if err != nil {
		return fmt.Errorf("load the kubeconfig of %s: %w", k.name(), err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		var status int
		client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&status)
		if status == http.StatusOK {
			break
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	log.Info("the API server is ready, starting the service proxy and the kubelet")
	var proxy sync.WaitGroup
	proxy.Go(func() { runProxy(ctx, spec, k.name(), log) })
	defer proxy.Wait()
	return k.run(ctx)
}
