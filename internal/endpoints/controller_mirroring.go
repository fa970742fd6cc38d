package endpoints

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	sliceutil "k8s.io/endpointslice/util"
)

// mirroringManagedBy is the managed-by label of this controller's slices; upstream's.
const mirroringManagedBy = "endpointslicemirroring-controller.k8s.io"

// mirroringController copies Endpoints that people or programs made for a Service without a selector into
// EndpointSlices, which is what proxies and DNS read (KEP-752).
type mirroringController struct {
	loop    *loop
	watcher *sliceWatcher
	members *membership
	watches *watches
	mirror  *mirror
}

func newMirroringController(ctx context.Context, c *Controllers, s *session, events record.EventRecorder) *mirroringController {
	cfg := c.cfg.Mirroring
	mc := &mirroringController{members: s.members, watches: s.watches}
	mc.loop = &loop{
		name:    "endpointslice-mirroring",
		queue:   newQueue("endpoint_slice_mirroring", sliceRetries(100*time.Second), c.queues),
		workers: cfg.ConcurrentSyncs,
		sync:    mc.sync,
		log:     c.deps.Log,
	}
	mc.watcher = &sliceWatcher{
		managedBy: mirroringManagedBy,
		tracker:   sliceutil.NewEndpointSliceTracker(),
		delay:     cfg.UpdatesBatchPeriod,
		queue:     mc.loop.queue.AddAfter,
	}
	mc.mirror = &mirror{
		client:  fencedClient{c.deps.Client, ctx},
		tracker: mc.watcher.tracker,
		max:     int(cfg.MaxEndpointsPerSubset),
		metrics: c.mirroring,
		totals:  newMirrorTotals(c.mirroring, int(cfg.MaxEndpointsPerSubset)),
		events:  events,
		log:     c.deps.Log,
	}
	return mc
}

func (c *mirroringController) run(ctx context.Context) { c.loop.run(ctx) }

// serviceChanged queues the Endpoints of a Service that has no selector, or that just gained or lost one. A nil Service
// stands for one that was not there before, or is gone.
func (c *mirroringController) serviceChanged(old, service *corev1.Service) {
	switch {
	case old == nil:
		c.queueIf(service.Spec.Selector == nil, service)
	case service == nil:
		c.queueIf(old.Spec.Selector == nil, old)
	default:
		c.queueIf((old.Spec.Selector == nil) != (service.Spec.Selector == nil), service)
	}
}

// endpointsChanged queues Endpoints that are to be mirrored, or were. Nil stands for those not there before, or gone.
func (c *mirroringController) endpointsChanged(old, endpoints *corev1.Endpoints) {
	if endpoints == nil {
		c.queueIf(mayMirror(old), old)
		return
	}
	c.queueIf(mayMirror(endpoints) || old != nil && mayMirror(old), endpoints)
}

func (c *mirroringController) queueIf(condition bool, obj metav1.Object) {
	if condition {
		c.loop.queue.Add(keyOf(obj.GetNamespace(), obj.GetName()))
	}
}

// mayMirror reports whether nothing about the Endpoints themselves forbids to mirror them.
func mayMirror(endpoints *corev1.Endpoints) bool {
	_, electsLeader := endpoints.Annotations[resourcelock.LeaderElectionRecordAnnotationKey]
	return !electsLeader && endpoints.Labels[discoveryv1.LabelSkipMirror] != "true"
}

// sync makes the mirrored slices of one Endpoints what they should be.
func (c *mirroringController) sync(ctx context.Context, key string) error {
	start := time.Now()
	defer func() { c.mirror.metrics.duration.WithLabelValues().Observe(time.Since(start).Seconds()) }()
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	slices, err := c.watches.slicesOf(key, mirroringManagedBy)
	if err != nil {
		return err
	}
	endpoints, exists, err := c.watches.endpointsOf(key)
	if err != nil {
		return fmt.Errorf("look up Endpoints %s: %w", key, err)
	}
	service, _ := c.members.View(namespace, name)
	if !exists || !mayMirror(endpoints) || service == nil || service.Spec.Selector != nil {
		c.watcher.tracker.DeleteService(namespace, name)
		return c.remove(ctx, key, slices)
	}
	if c.watcher.tracker.StaleSlices(service, slices) {
		return fmt.Errorf("the EndpointSlices that mirror Endpoints %s: %w", key, errStale)
	}
	return c.mirror.reconcile(ctx, endpoints, slices)
}

// remove deletes the slices of Endpoints that are no longer mirrored.
func (c *mirroringController) remove(ctx context.Context, key string, slices []*discoveryv1.EndpointSlice) error {
	c.mirror.totals.forget(key)
	var errs []error
	for _, slice := range slices {
		err := c.mirror.client.DiscoveryV1().EndpointSlices(slice.Namespace).Delete(ctx, slice.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete EndpointSlice %s/%s, which mirrored Endpoints %s: %w",
				slice.Namespace, slice.Name, key, err))
		}
	}
	return errors.Join(errs...)
}
