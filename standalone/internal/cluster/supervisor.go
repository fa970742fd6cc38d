package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// relayFD is the file descriptor on which the supervisor inherits the relay's listening socket.
const relayFD = 3

// Supervise keeps the processes of a cluster running, and relays to its API server, until the context ends; then it
// stops the nodes, and after them the control plane. The namespaces are there already.
func Supervise(ctx context.Context, spec *Spec, log *slog.Logger) error {
	record := &recorder{file: spec.processesFile()}
	if err := record.started(supervisorName, os.Getpid()); err != nil {
		return err
	}
	controlPlane, nodes, err := children(spec, record, log)
	if err != nil {
		return err
	}
	listener, err := net.FileListener(os.NewFile(relayFD, "relay"))
	if err != nil {
		return fmt.Errorf("take over the relay's socket: %w", err)
	}
	api := &relay{
		listener:  listener,
		namespace: controlPlane.namespace,
		target:    netip.AddrPortFrom(ControlPlaneAddress().V4, APIPort),
		log:       log,
	}
	// The control plane outlives the nodes, which report to it until they end.
	rest, stopRest := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRest()
	var running, nodesRunning sync.WaitGroup
	running.Go(func() { controlPlane.run(rest) })
	running.Go(func() {
		if err := api.run(rest); err != nil {
			log.Error("the relay to the API server stopped", "error", err)
		}
	})
	for _, node := range nodes {
		nodesRunning.Go(func() { node.run(ctx) })
	}
	log.Info("cluster started", "nodes", spec.Nodes, "port", spec.Port)
	<-ctx.Done()
	nodesRunning.Wait()
	stopRest()
	running.Wait()
	log.Info("cluster stopped")
	return nil
}

// children returns the processes of a cluster.
func children(spec *Spec, record *recorder, log *slog.Logger) (controlPlane *child, nodes []*child, err error) {
	l, err := lab.Keep(ID(spec.DataDir))
	if err != nil {
		return nil, nil, err
	}
	of := func(name string, args ...string) (*child, error) {
		ns, err := lab.Open(l.Path(name))
		if err != nil {
			return nil, err
		}
		return &child{
			name:      name,
			namespace: ns,
			args:      append([]string{"--data-dir", spec.DataDir, "process"}, args...),
			logFile:   filepath.Join(spec.Logs(), name+".log"),
			record:    record,
			log:       log,
		}, nil
	}
	if controlPlane, err = of(controlPlaneNamespace, "control-plane"); err != nil {
		return nil, nil, err
	}
	for _, name := range spec.NodeNames() {
		node, err := of(name, "node", name)
		if err != nil {
			return nil, nil, err
		}
		node.isolate = true
		nodes = append(nodes, node)
	}
	return controlPlane, nodes, nil
}
