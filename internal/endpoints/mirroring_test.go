package endpoints

import (
	"context"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/switchyard-net/switchyard/internal/endpoints/endpointstest"
)

func manualService(name string) *corev1.Service {
	return endpointstest.Service(name, func(s *corev1.Service) { s.Spec.Selector = nil })
}

// manualEndpoints returns Endpoints as a person makes them, of port 8080.
func manualEndpoints(name string, ips ...string) *corev1.Endpoints {
	subset := corev1.EndpointSubset{Ports: []corev1.EndpointPort{{Name: "http", Port: 8080, Protocol: corev1.ProtocolTCP}}}
	for _, ip := range ips {
		subset.Addresses = append(subset.Addresses, corev1.EndpointAddress{IP: ip})
	}
	return &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Subsets:    []corev1.EndpointSubset{subset},
	}
}

// mirroredAddresses returns "family ip" of all that is mirrored for the Service.
func mirroredAddresses(c *testCluster, service string) map[string]bool {
	all := map[string]bool{}
	for _, slice := range c.slices(service, mirroringManagedBy) {
		for _, endpoint := range slice.Endpoints {
			all[string(slice.AddressType)+" "+endpoint.Addresses[0]] = *endpoint.Conditions.Ready
		}
	}
	return all
}

func (c *testCluster) updateEndpoints(name string, change func(*corev1.Endpoints)) {
	c.t.Helper()
	endpoints := c.endpoints(name)
	change(endpoints)
	if _, err := c.CoreV1().Endpoints("default").Update(context.Background(), endpoints, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func TestMirroringOfBothFamilies(t *testing.T) {
	made := manualEndpoints("ext", "192.0.2.1", "2001:db8::1")
	made.Subsets[0].NotReadyAddresses = []corev1.EndpointAddress{{IP: "192.0.2.2"}}
	made.Labels = map[string]string{"team": "x"}
	made.Annotations = map[string]string{
		"note": "n", corev1.LastAppliedConfigAnnotation: "{}", corev1.EndpointsLastChangeTriggerTime: "2020-01-01T00:00:00Z",
	}
	run(t, Defaults(), []runtime.Object{manualService("ext"), made}, func(c *testCluster, _ *Controllers, _ func()) {
		expect(t, "mirrored", mirroredAddresses(c, "ext"), map[string]bool{
			"IPv4 192.0.2.1": true, "IPv4 192.0.2.2": false, "IPv6 2001:db8::1": true,
		})
		slice := c.slices("ext", mirroringManagedBy)[0]
		expect(t, "labels", slice.Labels, map[string]string{
			"team": "x", "kubernetes.io/service-name": "ext",
			"endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
		})
		expect(t, "annotations", slice.Annotations, map[string]string{"note": "n"})
		owner := slice.OwnerReferences[0]
		expect(t, "owner", owner.Kind+"/"+owner.Name, "Endpoints/ext")
		expect(t, "name prefix", slice.GenerateName, "ext-")
	})
}

// TestMirroringFollowsItsSkipRules turns each rule on and off again.
func TestMirroringFollowsItsSkipRules(t *testing.T) {
	objects := []runtime.Object{manualService("ext"), manualEndpoints("ext", "192.0.2.1")}
	there, none := map[string]bool{"IPv4 192.0.2.1": true}, map[string]bool{}
	label := func(value string) func(*corev1.Endpoints) {
		return func(e *corev1.Endpoints) { e.Labels = map[string]string{discoveryv1.LabelSkipMirror: value} }
	}
	leader := func(e *corev1.Endpoints) {
		e.Annotations = map[string]string{resourcelock.LeaderElectionRecordAnnotationKey: "{}"}
	}
	run(t, Defaults(), objects, func(c *testCluster, _ *Controllers, settle func()) {
		check := func(what string, want map[string]bool) {
			t.Helper()
			settle()
			expect(t, what, mirroredAddresses(c, "ext"), want)
		}
		check("at the start", there)
		c.updateEndpoints("ext", label("true"))
		check("with the skip label", none)
		c.updateEndpoints("ext", label("false"))
		check("with the skip label false", there)
		c.updateEndpoints("ext", leader)
		check("with a leader election record", none)
		c.updateEndpoints("ext", func(e *corev1.Endpoints) { e.Annotations = nil })
		check("without it", there)
		c.updateService("ext", func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "web"} })
		check("after the Service got a selector", none)
	})
}

func TestMirroringWithoutService(t *testing.T) {
	run(t, Defaults(), nil, func(c *testCluster, _ *Controllers, settle func()) {
		c.create(manualEndpoints("ext", "192.0.2.1"))
		settle()
		expect(t, "before the Service", mirroredAddresses(c, "ext"), map[string]bool{})
		c.create(manualService("ext"))
		settle()
		expect(t, "after", mirroredAddresses(c, "ext"), map[string]bool{"IPv4 192.0.2.1": true})
		if err := c.CoreV1().Services("default").Delete(context.Background(), "ext", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		settle()
		expect(t, "after its deletion", mirroredAddresses(c, "ext"), map[string]bool{})
	})
}

// TestMirroringTellsWhatItSkips: invalid addresses and those beyond the limit are left out, and Events say so.
func TestMirroringTellsWhatItSkips(t *testing.T) {
	cfg := Defaults()
	cfg.Mirroring.MaxEndpointsPerSubset = 2
	run(t, cfg, []runtime.Object{manualService("ext")}, func(c *testCluster, _ *Controllers, settle func()) {
		told := map[string]string{}
		var mu sync.Mutex
		c.PrependReactor("create", "events", func(action clienttesting.Action) (bool, runtime.Object, error) {
			event := action.(clienttesting.CreateAction).GetObject().(*corev1.Event)
			mu.Lock()
			defer mu.Unlock()
			told[event.Source.Component+" "+event.Reason] = event.Message
			return true, event, nil
		})
		c.create(manualEndpoints("ext", "!not-an-ip", "192.0.2.1", "192.0.2.2", "192.0.2.3"))
		settle()
		expect(t, "mirrored", mirroredAddresses(c, "ext"), map[string]bool{"IPv4 192.0.2.1": true, "IPv4 192.0.2.2": true})
		mu.Lock()
		defer mu.Unlock()
		expect(t, "Events", told, map[string]string{
			"endpoint-slice-mirroring-controller TooManyAddressesToMirror": "A max of 2 addresses can be mirrored to EndpointSlices per Endpoints subset. 2 addresses were skipped",
			"endpoint-slice-mirroring-controller InvalidIPAddress":         "Skipped 1 invalid IP addresses when mirroring to EndpointSlices",
		})
	})
}

// TestMirroringReusesSlices: a change of ports is an update of the slice there is, not a deletion and a creation.
func TestMirroringReusesSlices(t *testing.T) {
	objects := []runtime.Object{manualService("ext"), manualEndpoints("ext", "192.0.2.1")}
	run(t, Defaults(), objects, func(c *testCluster, _ *Controllers, settle func()) {
		c.updateEndpoints("ext", func(e *corev1.Endpoints) { e.Subsets[0].Ports[0].Port = 9090 })
		settle()
		expect(t, "writes", c.writes(), []string{"update endpoints", "update endpointslices"})
		slices := c.slices("ext", mirroringManagedBy)
		if len(slices) != 1 || *slices[0].Ports[0].Port != 9090 {
			t.Errorf("slices after the change: %v, want one of port 9090", slices)
		}
	})
}

func TestMirrorTotals(t *testing.T) {
	metrics, err := newMirrorMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	totals := newMirrorTotals(metrics, 10)
	check := func(endpoints, slices, ideal int) {
		t.Helper()
		if want := (mirrorSum{endpoints, slices, ideal}); totals.sum != want {
			t.Errorf("sums are %+v, want %+v", totals.sum, want)
		}
	}
	a, b := mirrorKey{family: "a"}, mirrorKey{family: "b"}
	totals.set("one", map[mirrorKey]portTally{a: {endpoints: 11, slices: 1}, b: {endpoints: 0, slices: 0}})
	check(11, 1, 2)
	totals.set("two", map[mirrorKey]portTally{a: {endpoints: 1, slices: 3}})
	check(12, 4, 3)
	totals.set("one", map[mirrorKey]portTally{a: {endpoints: 1, slices: 1}})
	check(2, 4, 2)
	totals.forget("two")
	totals.forget("never seen")
	check(1, 1, 1)
}
