package endpoints

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/switchyard-net/switchyard/internal/endpoints/endpointstest"
)

// addresses returns "ip ready" of the Endpoints of a name, "ip unready" of those not ready.
func addresses(endpoints *corev1.Endpoints) []string {
	var list []string
	for _, subset := range endpoints.Subsets {
		for _, address := range subset.Addresses {
			list = append(list, address.IP+" ready")
		}
		for _, address := range subset.NotReadyAddresses {
			list = append(list, address.IP+" unready")
		}
	}
	return list
}

// conditions returns "ip ready/serving/terminating" of the endpoints of the slices.
func conditions(slices []discoveryv1.EndpointSlice) []string {
	var list []string
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			c := endpoint.Conditions
			list = append(list, fmt.Sprintf("%s %t/%t/%t", endpoint.Addresses[0], *c.Ready, *c.Serving, *c.Terminating))
		}
	}
	return list
}

func expect[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestPodChangesReachBothKindsOfEndpoints(t *testing.T) {
	objects := []runtime.Object{endpointstest.Node("node-1", "a"), endpointstest.Service("web"), endpointstest.Pod("p", "10.0.0.1")}
	run(t, Defaults(), objects, func(c *testCluster, controllers *Controllers, settle func()) {
		if err := controllers.Ready(); err != nil {
			t.Errorf("not ready after the first lists: %v", err)
		}
		expect(t, "Endpoints", addresses(c.endpoints("web")), []string{"10.0.0.1 ready"})
		expect(t, "slices", conditions(c.slices("web", slicesManagedBy)), []string{"10.0.0.1 true/true/false"})

		c.updatePod("p", endpointstest.SetReady(false))
		settle()
		expect(t, "Endpoints of an unready pod", addresses(c.endpoints("web")), []string{"10.0.0.1 unready"})
		expect(t, "slices of it", conditions(c.slices("web", slicesManagedBy)), []string{"10.0.0.1 false/false/false"})

		c.updatePod("p", func(pod *corev1.Pod) {
			endpointstest.SetReady(true)(pod)
			deleted := endpointstest.Epoch()
			pod.DeletionTimestamp, pod.Finalizers = &deleted, []string{"tests/keep"}
		})
		settle()
		expect(t, "Endpoints of a terminating pod", addresses(c.endpoints("web")), nil)
		expect(t, "slices of it", conditions(c.slices("web", slicesManagedBy)), []string{"10.0.0.1 false/true/true"})

		c.updatePod("p", func(pod *corev1.Pod) { pod.Labels = map[string]string{"app": "other"} })
		settle()
		expect(t, "slices after the pod lost its label", conditions(c.slices("web", slicesManagedBy)), nil)
	})
}

func TestSettledClusterIsNotWrittenTo(t *testing.T) {
	objects := []runtime.Object{endpointstest.Node("node-1", "a"), endpointstest.Service("web"), endpointstest.Pod("p", "10.0.0.1")}
	run(t, Defaults(), objects, func(c *testCluster, _ *Controllers, settle func()) {
		c.updatePod("p", func(pod *corev1.Pod) { pod.Annotations = map[string]string{"a": "b"} })
		c.updateService("web", func(service *corev1.Service) { service.Annotations = map[string]string{"a": "b"} })
		settle()
		time.Sleep(13 * time.Hour) // beyond a resync
		expect(t, "writes", c.writes(), []string{"update pods", "update services"})
	})
}

func TestSelectorChangeMovesToOtherPods(t *testing.T) {
	objects := []runtime.Object{
		endpointstest.Node("node-1", "a"), endpointstest.Service("web"), endpointstest.Pod("p", "10.0.0.1"),
		endpointstest.Pod("q", "10.0.0.2", func(pod *corev1.Pod) { pod.Labels = map[string]string{"app": "api"} }),
	}
	run(t, Defaults(), objects, func(c *testCluster, _ *Controllers, settle func()) {
		c.updateService("web", func(service *corev1.Service) { service.Spec.Selector = map[string]string{"app": "api"} })
		settle()
		expect(t, "Endpoints", addresses(c.endpoints("web")), []string{"10.0.0.2 ready"})
		expect(t, "slices", conditions(c.slices("web", slicesManagedBy)), []string{"10.0.0.2 true/true/false"})
	})
}

func TestServicesThatReceiveNone(t *testing.T) {
	objects := []runtime.Object{
		endpointstest.Node("node-1", "a"), endpointstest.Pod("p", "10.0.0.1"),
		endpointstest.Service("alias", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName }),
		endpointstest.Service("manual", func(s *corev1.Service) { s.Spec.Selector = nil }),
	}
	run(t, Defaults(), objects, func(c *testCluster, _ *Controllers, _ func()) {
		list, err := c.DiscoveryV1().EndpointSlices("default").List(context.Background(), metav1.ListOptions{})
		if err != nil || len(list.Items) > 0 {
			t.Errorf("%d slices, want none: %v", len(list.Items), err)
		}
		expect(t, "writes", c.writes(), nil)
	})
}

func TestServiceWithoutFamiliesOrPodsIsServed(t *testing.T) {
	old := endpointstest.Service("old", func(s *corev1.Service) { s.Spec.IPFamilies = nil })
	headless := endpointstest.Service("headless", func(s *corev1.Service) {
		s.Spec.IPFamilies, s.Spec.ClusterIP = nil, corev1.ClusterIPNone
	})
	objects := []runtime.Object{endpointstest.Node("node-1", "a"), endpointstest.Pod("p", "fd00::1"), old, headless}
	run(t, Defaults(), objects, func(c *testCluster, _ *Controllers, _ func()) {
		expect(t, "Endpoints of an IPv4 Service", addresses(c.endpoints("old")), nil)
		expect(t, "Endpoints of a headless one", addresses(c.endpoints("headless")), []string{"fd00::1 ready"})
	})
}

func TestLeftoverEndpointsAreDeleted(t *testing.T) {
	orphan := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "orphan"}}
	election := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: "election", Annotations: map[string]string{resourcelock.LeaderElectionRecordAnnotationKey: "{}"},
	}}
	run(t, Defaults(), []runtime.Object{orphan, election}, func(c *testCluster, _ *Controllers, _ func()) {
		if _, err := c.CoreV1().Endpoints("default").Get(context.Background(), "orphan", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("Endpoints without a Service are still there (%v)", err)
		}
		c.endpoints("election")
	})
}

func TestOutsideHandsAreUndone(t *testing.T) {
	objects := []runtime.Object{endpointstest.Node("node-1", "a"), endpointstest.Service("web"), endpointstest.Pod("p", "10.0.0.1")}
	run(t, Defaults(), objects, func(c *testCluster, _ *Controllers, settle func()) {
		ctx := context.Background()
		slice := c.slices("web", slicesManagedBy)[0]
		if err := c.DiscoveryV1().EndpointSlices("default").Delete(ctx, slice.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := c.CoreV1().Endpoints("default").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		settle()
		expect(t, "Endpoints", addresses(c.endpoints("web")), []string{"10.0.0.1 ready"})
		changed := c.slices("web", slicesManagedBy)[0]
		changed.Endpoints = nil
		if _, err := c.DiscoveryV1().EndpointSlices("default").Update(ctx, &changed, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		settle()
		expect(t, "slices", conditions(c.slices("web", slicesManagedBy)), []string{"10.0.0.1 true/true/false"})
	})
}

// TestFailedWritesAreRetried lets the first writes of each kind fail, and checks that an Event tells of it.
func TestFailedWritesAreRetried(t *testing.T) {
	run(t, Defaults(), []runtime.Object{endpointstest.Node("node-1", "a")}, func(c *testCluster, _ *Controllers, settle func()) {
		failures := map[string]int{"endpoints": 3, "endpointslices": 3}
		told := map[string]bool{}
		var mu sync.Mutex
		c.PrependReactor("create", "events", func(action clienttesting.Action) (bool, runtime.Object, error) {
			event := action.(clienttesting.CreateAction).GetObject().(*corev1.Event)
			mu.Lock()
			defer mu.Unlock()
			told[event.Source.Component+" "+event.Reason] = true
			return true, event, nil
		})
		c.PrependReactor("create", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
			resource := action.GetResource().Resource
			mu.Lock()
			defer mu.Unlock()
			failures[resource]--
			return failures[resource] >= 0, nil, errors.New("the API server is busy")
		})
		c.create(endpointstest.Pod("p", "10.0.0.1"))
		c.create(endpointstest.Service("web"))
		settle()
		expect(t, "Endpoints", addresses(c.endpoints("web")), []string{"10.0.0.1 ready"})
		expect(t, "slices", conditions(c.slices("web", slicesManagedBy)), []string{"10.0.0.1 true/true/false"})
		expect(t, "Events", told, map[string]bool{
			"endpoint-slice-controller FailedToUpdateEndpointSlices": true,
			"endpoint-controller FailedToCreateEndpoint":             true,
		})
	})
}

// TestPodWithoutItsNodeIsRetried: the pod's endpoint waits for the node, the others do not.
func TestPodWithoutItsNodeIsRetried(t *testing.T) {
	objects := []runtime.Object{endpointstest.Node("node-1", "a"), endpointstest.Service("web"), endpointstest.Pod("p", "10.0.0.1")}
	run(t, Defaults(), objects, func(c *testCluster, _ *Controllers, settle func()) {
		c.create(endpointstest.Pod("q", "10.0.0.2", func(pod *corev1.Pod) { pod.Spec.NodeName = "node-2" }))
		settle()
		expect(t, "slices", conditions(c.slices("web", slicesManagedBy)), []string{"10.0.0.1 true/true/false"})
		c.create(endpointstest.Node("node-2", "b"))
		settle()
		settle()
		if got := conditions(c.slices("web", slicesManagedBy)); len(got) != 2 {
			t.Errorf("endpoints after the node came: %v, want both pods'", got)
		}
	})
}

func TestTrafficDistributionGivesHints(t *testing.T) {
	nearby := corev1.ServiceTrafficDistributionPreferSameNode
	objects := []runtime.Object{
		endpointstest.Node("node-1", "zone-a"), endpointstest.Pod("p", "10.0.0.1"),
		endpointstest.Service("web", func(s *corev1.Service) { s.Spec.TrafficDistribution = &nearby }),
	}
	run(t, Defaults(), objects, func(c *testCluster, _ *Controllers, _ func()) {
		expect(t, "hints", c.slices("web", slicesManagedBy)[0].Endpoints[0].Hints, &discoveryv1.EndpointHints{
			ForZones: []discoveryv1.ForZone{{Name: "zone-a"}},
			ForNodes: []discoveryv1.ForNode{{Name: "node-1"}},
		})
	})
}

// TestBatchPeriodJoinsChanges: pods that come within the period are one write of each kind.
func TestBatchPeriodJoinsChanges(t *testing.T) {
	cfg := Defaults()
	cfg.Slices.UpdatesBatchPeriod = 5 * time.Second
	cfg.Endpoints.UpdatesBatchPeriod = 5 * time.Second
	run(t, cfg, []runtime.Object{endpointstest.Node("node-1", "a"), endpointstest.Service("web")}, func(c *testCluster, _ *Controllers, settle func()) {
		for i := range 10 {
			c.create(endpointstest.Pod(fmt.Sprint("p", i), fmt.Sprint("10.0.0.", i)))
			time.Sleep(100 * time.Millisecond)
		}
		c.ClearActions()
		settle()
		if writes := c.writes(); len(writes) != 2 {
			t.Errorf("writes for 10 pods within the batch period: %v, want one of each kind", writes)
		}
	})
}

// TestWriteUnderWayEndsWithTheRun cuts off a write that the API server does not answer, as the loss of the lease does.
func TestWriteUnderWayEndsWithTheRun(t *testing.T) {
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // read to the end, so that the server sees the client go
		close(arrived)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		slices := fencedClient{client, ctx}.DiscoveryV1().EndpointSlices("default")
		_, err := slices.Create(context.TODO(), &discoveryv1.EndpointSlice{}, metav1.CreateOptions{})
		ended <- err
	}()
	<-arrived
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the write ended with %v, want context.Canceled", err)
	}
}

func TestRunTwice(t *testing.T) {
	objects := []runtime.Object{endpointstest.Node("node-1", "a"), endpointstest.Service("web"), endpointstest.Pod("p", "10.0.0.1")}
	run(t, Defaults(), objects, func(_ *testCluster, controllers *Controllers, _ func()) {
		if err := controllers.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("a second Run at the same time: %v, want an error", err)
		}
	})
}
