package controlplane

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

func TestReconcileNodesFollowsTheSpec(t *testing.T) {
	client := fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a-guest"}})
	for _, step := range []struct {
		spec cluster.Spec
		want map[string]string // zone by node
	}{
		{cluster.Spec{Nodes: 2, Zones: []string{"a", "b"}}, map[string]string{"a-guest": "", "node-1": "a", "node-2": "b"}},
		{cluster.Spec{Nodes: 3, Zones: []string{"c"}}, map[string]string{"a-guest": "", "node-1": "c", "node-2": "c", "node-3": "c"}},
		{cluster.Spec{Nodes: 1}, map[string]string{"a-guest": "", "node-1": ""}},
	} {
		if err := reconcileNodes(t.Context(), client, &step.spec); err != nil {
			t.Fatal(err)
		}
		nodes, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, node := range nodes.Items {
			got[node.Name] = node.Labels[corev1.LabelTopologyZone]
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("nodes of %+v (-want +got):\n%s", step.spec, diff)
		}
	}
	node, err := client.CoreV1().Nodes().Get(t.Context(), "node-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"10.244.1.0/24", "fd00:10:244:1::/64"}, node.Spec.PodCIDRs); diff != "" {
		t.Errorf("pod prefixes (-want +got):\n%s", diff)
	}
}
