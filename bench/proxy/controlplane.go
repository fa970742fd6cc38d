package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard-net/switchyard/bench/apiserver"
)

const nodeName = "bench-node"

// startControlPlane starts an API server from the directory binaries, with its data and logs in dir, and makes the Node that the
// systems under test run on.
func startControlPlane(ctx context.Context, binaries, dir string) (*apiserver.Server, error) {
	server, err := apiserver.Start(ctx, apiserver.Config{
		Binaries: filepath.Join(binaries, "bench"), Dir: dir, Address: controlAddress, Services: []netip.Prefix{serviceNetwork},
	})
	if err != nil {
		return nil, err
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: map[string]string{corev1.LabelHostname: nodeName}}}
	created, err := server.Client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create Node %s: %w", nodeName, err), server.Close())
	}
	created.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeAddress.Addr().String()}}
	if _, err := server.Client.CoreV1().Nodes().UpdateStatus(ctx, created, metav1.UpdateOptions{}); err != nil {
		return nil, errors.Join(fmt.Errorf("give Node %s its address: %w", nodeName, err), server.Close())
	}
	return server, nil
}
