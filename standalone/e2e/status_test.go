package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

func TestStatusShowsProcessesAndNodes(t *testing.T) {
	var status cluster.Status
	if err := json.Unmarshal([]byte(shared.must(t, "status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	want := []cluster.NodeStatus{
		{
			Name: "node-1", Ready: "True", Zone: "a", Addresses: []string{"172.30.0.11", "fd00:172:30::11"},
			PodCIDRs: []string{"10.244.1.0/24", "fd00:10:244:1::/64"},
		},
		{
			Name: "node-2", Ready: "True", Zone: "b", Addresses: []string{"172.30.0.12", "fd00:172:30::12"},
			PodCIDRs: []string{"10.244.2.0/24", "fd00:10:244:2::/64"},
		},
	}
	if diff := cmp.Diff(want, status.Nodes); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	states := map[string]string{}
	for _, p := range status.Processes {
		states[p.Name] = p.State
	}
	wantStates := map[string]string{"supervisor": "running", "control-plane": "running", "node-1": "running", "node-2": "running"}
	if diff := cmp.Diff(wantStates, states); diff != "" || !status.Ready {
		t.Errorf("ready %v, processes (-want +got):\n%s", status.Ready, diff)
	}
	var again cluster.Status
	if err := yaml.Unmarshal([]byte(shared.must(t, "status", "-o", "yaml")), &again); err != nil || len(again.Nodes) != 2 {
		t.Errorf("yaml: %v, %d nodes", err, len(again.Nodes))
	}
	if wide := shared.must(t, "status", "-o", "wide"); !strings.Contains(wide, lab.Directory) {
		t.Errorf("wide shows no namespaces:\n%s", wide)
	}
}

func TestNodeObjectsAreAsTheSpecSays(t *testing.T) {
	nodes, err := shared.client(t).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	type facts struct {
		Zone, Hostname, Version string
		PodCIDRs, Addresses     []string
	}
	got := map[string]facts{}
	for _, node := range nodes.Items {
		f := facts{
			Zone: node.Labels["topology.kubernetes.io/zone"], Hostname: node.Labels["kubernetes.io/hostname"],
			Version: node.Status.NodeInfo.KubeletVersion, PodCIDRs: node.Spec.PodCIDRs,
		}
		for _, address := range node.Status.Addresses {
			if address.Type == "InternalIP" {
				f.Addresses = append(f.Addresses, address.Address)
			}
		}
		got[node.Name] = f
	}
	want := map[string]facts{
		"node-1": {"a", "node-1", "v1.37.2", []string{"10.244.1.0/24", "fd00:10:244:1::/64"}, []string{"172.30.0.11", "fd00:172:30::11"}},
		"node-2": {"b", "node-2", "v1.37.2", []string{"10.244.2.0/24", "fd00:10:244:2::/64"}, []string{"172.30.0.12", "fd00:172:30::12"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}
