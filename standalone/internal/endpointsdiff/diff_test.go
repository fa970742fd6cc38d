package endpointsdiff

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/endpoint"
	"k8s.io/kubernetes/pkg/controller/endpointslice"
	"k8s.io/kubernetes/pkg/controller/endpointslicemirroring"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/internal/endpoints"
	"github.com/switchyard-net/switchyard/internal/endpoints/endpointstest"
)

// maxPerSlice is small, so that Services need several slices.
const maxPerSlice = 2

// settleTime is longer than slice events wait, and than the first retries.
const settleTime = 30 * time.Second

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // upstream tells of every retry
	os.Exit(m.Run())
}

// runUpstream runs kube-controller-manager's three controllers until ctx ends.
func runUpstream(ctx context.Context, c *endpointstest.Cluster) {
	factory := informers.NewSharedInformerFactory(c, 12*time.Hour)
	core, discovery := factory.Core().V1(), factory.Discovery().V1()
	slices := endpointslice.NewController(ctx, core.Pods(), core.Services(), core.Nodes(), discovery.EndpointSlices(), maxPerSlice, c, 0)
	legacy := endpoint.NewEndpointController(ctx, core.Pods(), core.Services(), core.Endpoints(), c, 0)
	mirroring := endpointslicemirroring.NewController(ctx, core.Endpoints(), discovery.EndpointSlices(), core.Services(), 3, c, 0)
	factory.StartWithContext(ctx)
	var running sync.WaitGroup
	for _, run := range []func(context.Context, int){slices.Run, legacy.Run, mirroring.Run} {
		running.Go(func() { run(ctx, 5) })
	}
	running.Wait()
	factory.Shutdown()
}

// runOurs runs this project's controllers until ctx ends.
func runOurs(ctx context.Context, t *testing.T, c *endpointstest.Cluster) {
	cfg := endpoints.Defaults()
	cfg.Slices.MaxEndpointsPerSlice, cfg.Mirroring.MaxEndpointsPerSubset = maxPerSlice, 3
	controllers, err := endpoints.New(cfg, endpoints.Deps{Client: c, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = controllers.Run(ctx)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestSameEndpointsAsKubeControllerManager compares both clusters after every change of random scenarios.
func TestSameEndpointsAsKubeControllerManager(t *testing.T) {
	scenarios, steps := uint64(15), 60
	if testing.Short() {
		scenarios = 3
	}
	for seed := range scenarios {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { compare(t, seed, steps) })
		})
	}
}

func compare(t *testing.T, seed uint64, steps int) {
	upstream, ours := endpointstest.NewCluster(), endpointstest.NewCluster()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { runUpstream(ctx, upstream) })
	running.Go(func() { runOurs(ctx, t, ours) })
	settle := func() { time.Sleep(settleTime); synctest.Wait() }
	settle()
	g := newGenerator(seed)
	for _, node := range []string{"n0", "n1"} {
		upstream.Create(t, endpointstest.Node(node, "z"+node))
		ours.Create(t, endpointstest.Node(node, "z"+node))
	}
	var history []string
	for range steps {
		change := g.next()
		history = append(history, change.name)
		change.apply(t, upstream)
		change.apply(t, ours)
		settle()
		if diff := cmp.Diff(dump(t, upstream), dump(t, ours)); diff != "" {
			t.Fatalf("after %s\nupstream (-) and ours (+) differ:\n%s", strings.Join(history, ", "), diff)
		}
	}
}

// dump returns all Endpoints, in full, and all slices, as YAML. Which of several slices an endpoint is in is chance, and
// with it their trigger times: two clusters of upstream's controllers differ in both. So slices of one Service, family
// and set of ports are shown as one, without the trigger time.
func dump(t *testing.T, c *endpointstest.Cluster) string {
	t.Helper()
	ctx := context.Background()
	list, err := c.CoreV1().Endpoints(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list.Items {
		e.TypeMeta, e.ResourceVersion, e.UID, e.ManagedFields = metav1.TypeMeta{}, "", "", nil
		out = append(out, text(t, e))
	}
	merged, err := mergedSlices(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, slice := range merged {
		slices.SortFunc(slice.Endpoints, func(a, b discoveryv1.Endpoint) int {
			return strings.Compare(text(t, a), text(t, b))
		})
		out = append(out, text(t, *slice))
	}
	slices.Sort(out)
	return strings.Join(out, "---\n")
}

func mergedSlices(ctx context.Context, c *endpointstest.Cluster) (map[string]*discoveryv1.EndpointSlice, error) {
	list, err := c.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	merged := map[string]*discoveryv1.EndpointSlice{}
	for _, slice := range list.Items {
		if managedBy := slice.Labels[discoveryv1.LabelManagedBy]; managedBy == "endpointslice-controller.k8s.io" && len(slice.Endpoints) > maxPerSlice {
			return nil, fmt.Errorf("slice %s has %d endpoints, want at most %d", slice.Name, len(slice.Endpoints), maxPerSlice)
		}
		delete(slice.Annotations, corev1.EndpointsLastChangeTriggerTime)
		slice.TypeMeta = metav1.TypeMeta{}
		slice.ObjectMeta = metav1.ObjectMeta{
			GenerateName: slice.GenerateName, Labels: slice.Labels, Annotations: slice.Annotations, OwnerReferences: slice.OwnerReferences,
		}
		if owner := &slice.OwnerReferences[0]; owner.Kind == "Endpoints" {
			owner.UID = "" // of the cluster's making, where a controller made the Endpoints
		}
		key := fmt.Sprint(slice.Labels, slice.AddressType)
		for _, port := range slice.Ports {
			key += fmt.Sprint(*port.Name, *port.Port, *port.Protocol, port.AppProtocol != nil)
		}
		if there := merged[key]; there != nil {
			there.Endpoints = append(there.Endpoints, slice.Endpoints...)
		} else {
			merged[key] = &slice
		}
	}
	return merged, nil
}

func text(t *testing.T, object any) string {
	t.Helper()
	out, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
