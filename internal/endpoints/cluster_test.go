package endpoints

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/switchyard-net/switchyard/internal/endpoints/endpointstest"
)

// testCluster is the cluster of one test, in a bubble of testing/synctest.
type testCluster struct {
	*endpointstest.Cluster
	t *testing.T
}

func (c *testCluster) create(object runtime.Object) {
	c.t.Helper()
	c.Create(c.t, object)
}

func (c *testCluster) updatePod(name string, change func(*corev1.Pod)) {
	c.t.Helper()
	pod, err := c.CoreV1().Pods("default").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	change(pod)
	if _, err := c.CoreV1().Pods("default").Update(context.Background(), pod, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *testCluster) updateService(name string, change func(*corev1.Service)) {
	c.t.Helper()
	service, err := c.CoreV1().Services("default").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	change(service)
	if _, err := c.CoreV1().Services("default").Update(context.Background(), service, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *testCluster) endpoints(name string) *corev1.Endpoints {
	c.t.Helper()
	endpoints, err := c.CoreV1().Endpoints("default").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return endpoints
}

// slices returns the Service's slices that the named controller manages.
func (c *testCluster) slices(service, managedBy string) []discoveryv1.EndpointSlice {
	c.t.Helper()
	list, err := c.DiscoveryV1().EndpointSlices("default").List(context.Background(), metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service + "," + discoveryv1.LabelManagedBy + "=" + managedBy,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return list.Items
}

// writes returns "verb resource" of every change made since the last call, Events apart.
func (c *testCluster) writes() []string {
	var writes []string
	for _, action := range c.Actions() {
		resource := action.GetResource().Resource
		if verb := action.GetVerb(); (verb == "create" || verb == "update" || verb == "delete") && resource != "events" {
			writes = append(writes, verb+" "+resource)
		}
	}
	c.ClearActions()
	return writes
}

// run starts the controllers in a bubble, lets them settle, and runs the test, which calls settle after each change.
func run(t *testing.T, cfg Config, objects []runtime.Object, test func(c *testCluster, controllers *Controllers, settle func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &testCluster{endpointstest.NewCluster(), t}
		for _, object := range objects {
			c.create(object)
		}
		controllers, err := New(cfg, Deps{Client: c, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- controllers.Run(ctx) }()
		// Bubble time: long enough for the 1 s that changes of slices wait, and for retries.
		settle := func() { time.Sleep(30 * time.Second); synctest.Wait() }
		settle()
		c.ClearActions()
		test(c, controllers, settle)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}
