package endpoints

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// byServiceIndex is the name of the index of EndpointSlices by the Service that their label names.
const byServiceIndex = "service"

// watches reads pods, Services, nodes, EndpointSlices and Endpoints. Pods and Services go on to the membership index.
type watches struct {
	factory   informers.SharedInformerFactory
	pods      cache.SharedIndexInformer
	services  cache.SharedIndexInformer
	nodes     cache.SharedIndexInformer
	slices    cache.SharedIndexInformer
	endpoints cache.SharedIndexInformer
	// synced tells, by resource, whether the handlers have been given all that was there at the start.
	synced map[string]cache.InformerSynced
}

func newWatches(client kubernetes.Interface, resync time.Duration) *watches {
	factory := informers.NewSharedInformerFactoryWithOptions(client, resync, informers.WithTransform(trim))
	return &watches{
		factory:   factory,
		pods:      factory.Core().V1().Pods().Informer(),
		services:  factory.Core().V1().Services().Informer(),
		nodes:     factory.Core().V1().Nodes().Informer(),
		slices:    factory.Discovery().V1().EndpointSlices().Informer(),
		endpoints: factory.Core().V1().Endpoints().Informer(),
		synced:    map[string]cache.InformerSynced{},
	}
}

// connect hands events on: to the index first, then to the queues of the controllers, so that a sync finds in the index
// whatever queued it.
func (w *watches) connect(s *session) error {
	err := w.slices.AddIndexers(cache.Indexers{byServiceIndex: func(obj any) ([]string, error) {
		return sliceServiceKeys(obj), nil
	}})
	if err != nil {
		return fmt.Errorf("index EndpointSlices by Service: %w", err)
	}
	for resource, watch := range map[string]struct {
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{
		"pods":           {w.pods, podEvents(s)},
		"services":       {w.services, serviceEvents(s)},
		"nodes":          {w.nodes, s.slices.nodeEvents()},
		"endpointslices": {w.slices, sliceEvents(s)},
		"endpoints":      {w.endpoints, endpointsEvents(s)},
	} {
		registration, err := watch.informer.AddEventHandler(watch.handler)
		if err != nil {
			return fmt.Errorf("watch %s: %w", resource, err)
		}
		w.synced[resource] = registration.HasSynced
	}
	return nil
}

// start starts the watches; they end with ctx.
func (w *watches) start(ctx context.Context) { w.factory.StartWithContext(ctx) }

// wait waits until the first list of every watch is in the index; false if ctx ended before.
func (w *watches) wait(ctx context.Context) bool {
	synced := make([]cache.InformerSynced, 0, len(w.synced))
	for _, done := range w.synced {
		synced = append(synced, done)
	}
	return cache.WaitForCacheSync(ctx.Done(), synced...)
}

// stop waits until the watches, whose context has ended, are gone.
func (w *watches) stop() { w.factory.Shutdown() }

// waiting returns the resources whose first list is not in yet.
func (w *watches) waiting() []string {
	var resources []string
	for _, resource := range []string{"pods", "services", "nodes", "endpointslices", "endpoints"} {
		if !w.synced[resource]() {
			resources = append(resources, resource)
		}
	}
	return resources
}

func (w *watches) nodeLister() corelisters.NodeLister {
	return corelisters.NewNodeLister(w.nodes.GetIndexer())
}

// endpointsOf returns the Endpoints of a name; false if the watch has none.
func (w *watches) endpointsOf(key string) (*corev1.Endpoints, bool, error) {
	obj, exists, err := w.endpoints.GetIndexer().GetByKey(key)
	if err != nil || !exists {
		return nil, false, err
	}
	return obj.(*corev1.Endpoints), true, nil
}

// slicesOf returns the Service's slices that the named controller manages, without those that are being deleted: one
// held back by a finalizer would never go away, and the controller would wait for it for ever.
func (w *watches) slicesOf(serviceKey, managedBy string) ([]*discoveryv1.EndpointSlice, error) {
	objs, err := w.slices.GetIndexer().ByIndex(byServiceIndex, serviceKey)
	if err != nil {
		return nil, fmt.Errorf("list EndpointSlices of Service %s: %w", serviceKey, err)
	}
	var managed []*discoveryv1.EndpointSlice
	for _, obj := range objs {
		slice := obj.(*discoveryv1.EndpointSlice)
		if slice.Labels[discoveryv1.LabelManagedBy] == managedBy && slice.DeletionTimestamp == nil {
			managed = append(managed, slice)
		}
	}
	return managed, nil
}

// sliceServiceKeys returns the key of the Service that the slice belongs to, none if it has no label for it.
func sliceServiceKeys(obj any) []string {
	slice, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok || slice.Labels[discoveryv1.LabelServiceName] == "" {
		return nil
	}
	return []string{keyOf(slice.Namespace, slice.Labels[discoveryv1.LabelServiceName])}
}

// keyOf returns the queue key of a namespaced object.
func keyOf(namespace, name string) string {
	return types.NamespacedName{Namespace: namespace, Name: name}.String()
}
