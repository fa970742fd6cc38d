package e2e

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestEachFamilyHasASliceAndEndpointsTheFirst(t *testing.T) {
	ns := shared.namespace(t)
	made, _ := shared.startService(t, ns, deployment)
	found := map[discoveryv1.AddressType]int{}
	for _, slice := range shared.slicesOf(t, ns, "web") {
		found[slice.AddressType] += len(slice.Endpoints)
		if by := slice.Labels[discoveryv1.LabelManagedBy]; by != "endpointslice-controller.k8s.io" {
			t.Errorf("slice %s is managed by %q", slice.Name, by)
		}
		for _, e := range slice.Endpoints {
			if e.Zone == nil || !slices.Contains([]string{"a", "b"}, *e.Zone) {
				t.Errorf("endpoint %v of slice %s has no zone of the cluster's", e.Addresses, slice.Name)
			}
		}
	}
	if found[discoveryv1.AddressTypeIPv4] != 3 || found[discoveryv1.AddressTypeIPv6] != 3 || len(found) != 2 {
		t.Errorf("endpoints by address type: %v; want 3 of each", found)
	}
	endpoints, err := shared.client(t).CoreV1().Endpoints(ns).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(endpoints.Subsets) != 1 || len(endpoints.Subsets[0].Addresses) != 3 {
		t.Errorf("Endpoints of %s: %v; want one subset of 3", made.Name, endpoints.Subsets)
	}
}

func TestHeadlessEndpointsHaveHostNames(t *testing.T) {
	ns := shared.namespace(t)
	shared.apply(t, ns, `
apiVersion: v1
kind: Service
metadata: {name: set}
spec: {clusterIP: None, selector: {app: set}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: set}
spec:
  serviceName: set
  replicas: 2
  selector: {matchLabels: {app: set}}
  template:
    metadata: {labels: {app: set}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: switchyard/echo}]
`)
	shared.kubectl(t, ns, "rollout", "status", "statefulset/set", "--timeout", patience.String())
	eventually(t, "host names in the slice", func() error {
		var names []string
		for _, slice := range shared.slicesOf(t, ns, "set") {
			if _, headless := slice.Labels[corev1.IsHeadlessService]; !headless {
				return fmt.Errorf("slice %s has no label %s", slice.Name, corev1.IsHeadlessService)
			}
			for _, e := range slice.Endpoints {
				if e.Hostname != nil {
					names = append(names, *e.Hostname)
				}
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, []string{"set-0", "set-1"}) {
			return fmt.Errorf("host names %v", names)
		}
		return nil
	})
}

func TestHandMadeEndpointsAreMirroredAndServed(t *testing.T) {
	ns := shared.namespace(t)
	_, pods := shared.startService(t, ns, deployment)
	pod, err := shared.client(t).CoreV1().Pods(ns).Get(t.Context(), pods[0], metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	shared.apply(t, ns, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: outside}
subsets: [{addresses: [{ip: %s}], ports: [{port: 8080}]}]
`, pod.Status.PodIP))
	made := shared.service(t, ns, "outside")
	eventually(t, "an answer through the mirrored slice", func() error {
		got, err := shared.ask(t, "node-1", "http://"+made.Spec.ClusterIP)
		if err == nil && got != pods[0] {
			return fmt.Errorf("answer of %s", got)
		}
		return err
	})
	mirrored := shared.slicesOf(t, ns, "outside")
	if len(mirrored) != 1 || mirrored[0].Labels[discoveryv1.LabelManagedBy] != "endpointslicemirroring-controller.k8s.io" {
		t.Errorf("slices of the Service: %v; want one of the mirroring controller", mirrored)
	}
	shared.kubectl(t, ns, "label", "endpoints/outside", discoveryv1.LabelSkipMirror+"=true")
	eventually(t, "the mirrored slice gone", func() error {
		if left := shared.slicesOf(t, ns, "outside"); len(left) > 0 {
			return fmt.Errorf("%d slices", len(left))
		}
		return nil
	})
}

func TestDeletedSlicesAndEndpointsAreMadeAgain(t *testing.T) {
	ns := shared.namespace(t)
	made, pods := shared.startService(t, ns, deployment)
	shared.kubectl(t, ns, "delete", "endpointslices,endpoints", "--all")
	eventually(t, "slices again", func() error {
		if err := shared.answeredBy(t, "node-1", "http://"+made.Spec.ClusterIP, pods); err != nil {
			return err
		}
		_, err := shared.client(t).CoreV1().Endpoints(ns).Get(t.Context(), "web", metav1.GetOptions{})
		return err
	})
}

// slicesOf returns the EndpointSlices of a Service.
func (c *testCluster) slicesOf(t *testing.T, namespace, name string) []discoveryv1.EndpointSlice {
	t.Helper()
	list, err := c.client(t).DiscoveryV1().EndpointSlices(namespace).List(t.Context(),
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}
