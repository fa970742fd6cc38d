package endpoints

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	sliceutil "k8s.io/endpointslice/util"
)

// endpointsController keeps the Endpoints of each Service with a selector equal to its pods. Endpoints are deprecated
// since 1.33 (KEP-4974), but conformance and much software still read them.
type endpointsController struct {
	loop     *loop
	batch    time.Duration
	members  *membership
	watches  *watches
	triggers *sliceutil.TriggerTimeTracker
	replaced *replacedVersions
	client   kubernetes.Interface
	events   record.EventRecorder
	equal    conversion.Equalities
}

func newEndpointsController(c *Controllers, s *session, events record.EventRecorder) *endpointsController {
	ec := &endpointsController{
		batch:    c.cfg.Endpoints.UpdatesBatchPeriod,
		members:  s.members,
		watches:  s.watches,
		triggers: sliceutil.NewTriggerTimeTracker(),
		replaced: &replacedVersions{versions: map[string]string{}},
		client:   c.deps.Client,
		events:   events,
		equal:    equalIgnoringPodVersion(),
	}
	ec.loop = &loop{
		name:    "endpoints",
		queue:   newQueue("endpoint", workqueue.DefaultTypedControllerRateLimiter[string](), c.queues),
		workers: c.cfg.Endpoints.ConcurrentSyncs,
		sync:    ec.sync,
		log:     c.deps.Log,
	}
	return ec
}

// run queues what an earlier run may have left behind, and works until ctx ends.
func (c *endpointsController) run(ctx context.Context) {
	c.queueLeftovers()
	c.loop.run(ctx)
}

// queueLeftovers queues every Endpoints there is, to delete those whose Service went away while no controller ran.
// Those that only carry an old leader election record never had a Service, and stay.
func (c *endpointsController) queueLeftovers() {
	for _, obj := range c.watches.endpoints.GetIndexer().List() {
		endpoints := obj.(*corev1.Endpoints)
		if _, record := endpoints.Annotations[resourcelock.LeaderElectionRecordAnnotationKey]; !record {
			c.loop.queue.Add(keyOf(endpoints.Namespace, endpoints.Name))
		}
	}
}

// podChanged queues a Service after one of its pods changed.
func (c *endpointsController) podChanged(key string) { c.loop.queue.AddAfter(key, c.batch) }

// sync makes the Endpoints of one Service what they should be.
func (c *endpointsController) sync(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	service, pods := c.members.View(namespace, name)
	if service == nil {
		return c.deleted(ctx, key, namespace, name)
	}
	if !receivesEndpoints(service) {
		return nil
	}
	// Always computed, as it also remembers the times seen by this sync.
	trigger := c.triggers.ComputeEndpointLastChangeTriggerTime(namespace, service, pods)
	subsets, truncated := desiredSubsets(service, pods)
	current, exists, err := c.watches.endpointsOf(key)
	if err != nil {
		return fmt.Errorf("look up Endpoints %s: %w", key, err)
	}
	if !exists {
		current = &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	} else if c.replaced.has(key, current.ResourceVersion) {
		return fmt.Errorf("the Endpoints %s: %w", key, errStale)
	}
	wanted := current.DeepCopy()
	wanted.Subsets = subsets
	wanted.Labels = desiredLabels(service)
	annotate(wanted, trigger, truncated)
	if exists && c.same(current, wanted) {
		return nil
	}
	return c.write(ctx, key, current, wanted)
}

// deleted removes the Endpoints of a Service that is gone.
func (c *endpointsController) deleted(ctx context.Context, key, namespace, name string) error {
	err := c.client.CoreV1().Endpoints(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Endpoints %s, whose Service is gone: %w", key, err)
	}
	c.triggers.DeleteService(namespace, name)
	c.replaced.forget(key)
	return nil
}

// annotate sets the controller's two annotations: when the change was made that this write shows, and whether addresses
// were left out.
func annotate(endpoints *corev1.Endpoints, trigger time.Time, truncated bool) {
	if endpoints.Annotations == nil {
		endpoints.Annotations = map[string]string{}
	}
	delete(endpoints.Annotations, corev1.EndpointsLastChangeTriggerTime)
	if !trigger.IsZero() {
		endpoints.Annotations[corev1.EndpointsLastChangeTriggerTime] = trigger.UTC().Format(time.RFC3339Nano)
	}
	delete(endpoints.Annotations, corev1.EndpointsOverCapacity)
	if truncated {
		endpoints.Annotations[corev1.EndpointsOverCapacity] = overCapacityTruncated
	}
}

// same reports whether a write would change nothing but the trigger time. The subsets are also compared in canonical
// form, as another version may have ordered them otherwise (kubernetes/kubernetes#129652).
func (c *endpointsController) same(current, wanted *corev1.Endpoints) bool {
	capacity, marked := current.Annotations[corev1.EndpointsOverCapacity]
	wantCapacity, wantMarked := wanted.Annotations[corev1.EndpointsOverCapacity]
	return maps.Equal(current.Labels, wanted.Labels) &&
		capacity == wantCapacity && marked == wantMarked &&
		(c.equal.DeepEqual(current.Subsets, wanted.Subsets) ||
			c.equal.DeepEqual(repack(current.Subsets), wanted.Subsets))
}

// write creates or replaces the Endpoints.
func (c *endpointsController) write(ctx context.Context, key string, current, wanted *corev1.Endpoints) error {
	client := c.client.CoreV1().Endpoints(wanted.Namespace)
	if current.ResourceVersion == "" {
		_, err := client.Create(ctx, wanted, metav1.CreateOptions{})
		switch {
		case err == nil, apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			return nil // in a namespace on its way out no create will succeed
		case apierrors.IsAlreadyExists(err):
			return fmt.Errorf("the Endpoints %s: %w", key, errStale)
		}
		return c.failed(ctx, wanted, "FailedToCreateEndpoint", "create endpoint for service", err)
	}
	updated, err := client.Update(ctx, wanted, metav1.UpdateOptions{})
	if err != nil {
		return c.failed(ctx, wanted, "FailedToUpdateEndpoint", "update endpoint", err)
	}
	if updated.ResourceVersion != current.ResourceVersion { // a write without effect keeps the version
		c.replaced.set(key, current.ResourceVersion)
	}
	return nil
}

// failed records an Event about a write that failed, and returns the error to retry on.
func (c *endpointsController) failed(ctx context.Context, e *corev1.Endpoints, reason, what string, err error) error {
	if ctx.Err() == nil {
		c.events.Eventf(e, corev1.EventTypeWarning, reason, "Failed to %s %v/%v: %v", what, e.Namespace, e.Name, err)
	}
	return fmt.Errorf("%s %s/%s: %w", what, e.Namespace, e.Name, err)
}

// equalIgnoringPodVersion compares as the API does, but for the resource version in references to pods: old Endpoints
// have one, and a change of it is no change of the endpoint.
func equalIgnoringPodVersion() conversion.Equalities {
	return conversion.EqualitiesOrDie(func(a, b corev1.ObjectReference) bool {
		a.ResourceVersion, b.ResourceVersion = "", ""
		return a == b
	})
}

// replacedVersions remembers, for each Endpoints, the version that this controller last replaced: a watch that still
// shows it is behind. Safe for concurrent use.
type replacedVersions struct {
	mu       sync.Mutex
	versions map[string]string // by key; guarded by mu
}

func (r *replacedVersions) set(key, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.versions[key] = version
}

func (r *replacedVersions) has(key, version string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	replaced, known := r.versions[key]
	return known && replaced == version
}

func (r *replacedVersions) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.versions, key)
}
