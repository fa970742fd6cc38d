package controlplane

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// ownedLabel marks the nodes that the cluster made, so that those of an earlier start with more nodes can be removed.
const ownedLabel = "standalone.switchyard.dev/node"

// reconcileNodes makes the Node objects those of the spec, with the pod prefixes and labels that a cloud and
// kube-controller-manager's node-ipam controller would give them. The kubelets find theirs and fill in the rest.
func reconcileNodes(ctx context.Context, client kubernetes.Interface, spec *cluster.Spec) error {
	for i, name := range spec.NodeNames() {
		if err := reconcileNode(ctx, client, spec, i+1); err != nil {
			return fmt.Errorf("prepare the object of node %s: %w", name, err)
		}
	}
	owned, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: ownedLabel})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	for _, node := range owned.Items {
		if _, err := spec.NodeIndex(node.Name); err == nil {
			continue
		}
		if err := client.CoreV1().Nodes().Delete(ctx, node.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete node %s of an earlier start: %w", node.Name, err)
		}
	}
	return nil
}

// reconcileNode makes or updates the object of node i, counted from 1.
func reconcileNode(ctx context.Context, client kubernetes.Interface, spec *cluster.Spec, i int) error {
	nodes := client.CoreV1().Nodes()
	fresh := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: cluster.NodeName(i)}}
	describe(fresh, spec, i)
	_, err := nodes.Create(ctx, fresh, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		node, err := nodes.Get(ctx, cluster.NodeName(i), metav1.GetOptions{})
		if err != nil {
			return err
		}
		describe(node, spec, i)
		_, err = nodes.Update(ctx, node, metav1.UpdateOptions{})
		return err
	})
}

// describe sets what the cluster decides of a node.
func describe(node *corev1.Node, spec *cluster.Spec, i int) {
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	node.Labels[ownedLabel] = "true"
	node.Labels[corev1.LabelHostname] = node.Name
	delete(node.Labels, corev1.LabelTopologyZone)
	if zone := spec.Zone(i); zone != "" {
		node.Labels[corev1.LabelTopologyZone] = zone
	}
	prefixes := cluster.PodCIDRsOf(i)
	node.Spec.PodCIDR = prefixes[0].String()
	node.Spec.PodCIDRs = []string{prefixes[0].String(), prefixes[1].String()}
}
