package endpoints

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	endpointslice "k8s.io/endpointslice"
	slicemetrics "k8s.io/endpointslice/metrics"
	"k8s.io/endpointslice/topologycache"
	sliceutil "k8s.io/endpointslice/util"
)

const (
	// slicesManagedBy is the managed-by label of this controller's slices; upstream's, and no other controller's.
	slicesManagedBy = "endpointslice-controller.k8s.io"
	// minSliceEventDelay is the least time from a slice changed by other hands to the sync that looks at it.
	minSliceEventDelay = time.Second
	// allNodes is the one key of the queue that reads the nodes.
	allNodes = "nodes"
)

// slicesController keeps the EndpointSlices of each Service with a selector equal to its pods. What a slice looks like
// is decided by k8s.io/endpointslice; this is the driver around it.
type slicesController struct {
	loop     *loop
	topology *loop // recomputes the zones' shares of the CPUs after nodes changed
	watcher  *sliceWatcher
	batch    time.Duration

	members    *membership
	watches    *watches
	nodes      corelisters.NodeLister
	triggers   *sliceutil.TriggerTimeTracker
	zones      *topologycache.TopologyCache
	reconciler *endpointslice.Reconciler
	events     record.EventRecorder
	log        logr.Logger
}

func newSlicesController(ctx context.Context, c *Controllers, s *session, events record.EventRecorder) *slicesController {
	cfg := c.cfg.Slices
	sc := &slicesController{
		batch:    cfg.UpdatesBatchPeriod,
		members:  s.members,
		watches:  s.watches,
		nodes:    s.watches.nodeLister(),
		triggers: sliceutil.NewTriggerTimeTracker(),
		zones:    topologycache.NewTopologyCache(),
		events:   events,
		log:      logr.FromSlogHandler(c.deps.Log.Handler()),
	}
	sc.loop = &loop{
		name:    "endpointslice",
		queue:   newQueue("endpoint_slice", sliceRetries(1000*time.Second), c.queues),
		workers: cfg.ConcurrentSyncs,
		sync:    sc.sync,
		observe: countSync,
		log:     c.deps.Log,
	}
	sc.topology = &loop{
		name:    "endpointslice-topology",
		queue:   newQueue("", workqueue.DefaultTypedControllerRateLimiter[string](), c.queues),
		workers: 1,
		sync:    sc.readNodes,
		log:     c.deps.Log,
	}
	sc.watcher = &sliceWatcher{
		managedBy: slicesManagedBy,
		tracker:   sliceutil.NewEndpointSliceTracker(),
		delay:     max(minSliceEventDelay, cfg.UpdatesBatchPeriod),
		queue:     sc.loop.queue.AddAfter,
	}
	sc.reconciler = endpointslice.NewReconciler(fencedClient{c.deps.Client, ctx}, sc.nodes, cfg.MaxEndpointsPerSlice,
		sc.watcher.tracker, sc.zones, events, slicesManagedBy,
		endpointslice.WithPreferSameTrafficDistributionEnabled(true)) // GA in 1.35 (KEP-3015)
	return sc
}

func (c *slicesController) run(ctx context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { c.topology.run(ctx) })
	loops.Go(func() { c.loop.run(ctx) })
	loops.Wait()
}

// podChanged queues a Service after one of its pods changed.
func (c *slicesController) podChanged(key string) { c.loop.queue.AddAfter(key, c.batch) }

// sync makes the slices of one Service what they should be.
func (c *slicesController) sync(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	service, pods := c.members.View(namespace, name)
	if service == nil { // its slices go with their owner
		c.triggers.DeleteService(namespace, name)
		c.reconciler.DeleteService(namespace, name)
		c.watcher.tracker.DeleteService(namespace, name)
		return nil
	}
	if !receivesEndpoints(service) {
		return nil
	}
	slices, err := c.watches.slicesOf(key, slicesManagedBy)
	if err != nil {
		c.events.Eventf(service, corev1.EventTypeWarning, "FailedToListEndpointSlices",
			"Error listing Endpoint Slices for Service %s/%s: %v", namespace, name, err)
		return err
	}
	if c.watcher.tracker.StaleSlices(service, slices) {
		return fmt.Errorf("the EndpointSlices of Service %s: %w", key, errStale)
	}
	// Always computed, as it also remembers the times seen by this sync.
	trigger := c.triggers.ComputeEndpointLastChangeTriggerTime(namespace, service, pods)
	if err := c.reconciler.Reconcile(c.log, service, pods, slices, trigger); err != nil {
		if ctx.Err() != nil {
			return err // cut off by a stop: nothing to tell the Service's owner
		}
		c.events.Eventf(service, corev1.EventTypeWarning, "FailedToUpdateEndpointSlices",
			"Error updating Endpoint Slices for Service %s/%s: %v", namespace, name, err)
		return err
	}
	return nil
}

// readNodes takes the zones' shares from the nodes, and queues the Services whose hints no longer fit them.
func (c *slicesController) readNodes(context.Context, string) error {
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	c.zones.SetNodes(c.log, nodes)
	for _, key := range c.zones.GetOverloadedServices() {
		c.loop.queue.Add(key)
	}
	return nil
}

// nodeEvents queues readNodes when a node comes, goes, or changes its readiness or zone.
func (c *slicesController) nodeEvents() cache.ResourceEventHandler {
	queue := func(*corev1.Node) { c.topology.queue.Add(allNodes) }
	return handler[*corev1.Node]{
		add:    queue,
		remove: queue,
		update: func(old, node *corev1.Node) {
			if nodeReady(old) != nodeReady(node) ||
				old.Labels[corev1.LabelTopologyZone] != node.Labels[corev1.LabelTopologyZone] {
				queue(node)
			}
		},
	}
}

func nodeReady(node *corev1.Node) bool {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == corev1.NodeReady {
			return node.Status.Conditions[i].Status == corev1.ConditionTrue
		}
	}
	return false
}

// countSync counts a sync under its result.
func countSync(err error) {
	result := "success"
	switch {
	case errors.Is(err, errStale):
		result = "stale"
	case err != nil:
		result = "error"
	}
	slicemetrics.EndpointSliceSyncs.WithLabelValues(result).Inc()
}
