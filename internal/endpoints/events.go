package endpoints

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	sliceutil "k8s.io/endpointslice/util"
)

// handler passes typed events on; the informer's tombstones are unwrapped, and objects of another type, which no watch
// delivers, are dropped.
type handler[T any] struct {
	add    func(T)
	update func(before, after T)
	remove func(T)
}

// OnAdd implements cache.ResourceEventHandler, as do the methods below.
func (h handler[T]) OnAdd(obj any, _ bool) {
	if o, ok := obj.(T); ok {
		h.add(o)
	}
}

// OnUpdate passes a changed object on.
func (h handler[T]) OnUpdate(before, after any) {
	old, okBefore := before.(T)
	now, okAfter := after.(T)
	if okBefore && okAfter {
		h.update(old, now)
	}
}

// OnDelete passes a deleted object on, in its last known state.
func (h handler[T]) OnDelete(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	if o, ok := obj.(T); ok {
		h.remove(o)
	}
}

// podEvents keeps the index up to date and queues the Services whose endpoints a pod's change may alter.
func podEvents(s *session) cache.ResourceEventHandler {
	queue := func(namespace string, names []string) {
		for _, name := range names {
			key := keyOf(namespace, name)
			s.slices.podChanged(key)
			s.endpoints.podChanged(key)
		}
	}
	return handler[*corev1.Pod]{
		add: func(pod *corev1.Pod) {
			_, names := s.members.SetPod(pod)
			queue(pod.Namespace, names)
		},
		update: func(old, pod *corev1.Pod) {
			before, after := s.members.SetPod(pod)
			queue(pod.Namespace, touched(old, pod, before, after))
		},
		remove: func(pod *corev1.Pod) {
			queue(pod.Namespace, s.members.DeletePod(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}))
		},
	}
}

// touched returns which of the Services that chose the pod before its update, or choose it after, must be synced. The
// rules are upstream's (GetServicesToUpdate), and one more: a pod replaced by another of its name always counts.
func touched(old, pod *corev1.Pod, before, after []string) []string {
	if old.UID != pod.UID {
		return union(before, after)
	}
	change := sliceutil.GetPodUpdateProjectionKey(old, pod)
	switch {
	case change == nil: // a resync, or a field that endpoints do not show
		return nil
	case change.OldLabels == nil: // the labels are the same, and so are the Services
		return after
	case change.PodChanged:
		return union(before, after)
	default: // only the labels: those that lose it and those that gain it
		return append(without(before, after), without(after, before)...)
	}
}

// union returns the names of both lists, each once.
func union(a, b []string) []string { return append(without(a, b), b...) }

// without returns the names of list that are not in other, newly allocated.
func without(list, other []string) []string {
	in := make(map[string]struct{}, len(other))
	for _, name := range other {
		in[name] = struct{}{}
	}
	var rest []string
	for _, name := range list {
		if _, found := in[name]; !found {
			rest = append(rest, name)
		}
	}
	return rest
}

// serviceEvents keeps the index up to date and queues the Service.
func serviceEvents(s *session) cache.ResourceEventHandler {
	queue := func(service *corev1.Service) {
		key := keyOf(service.Namespace, service.Name)
		s.slices.loop.queue.Add(key)
		s.endpoints.loop.queue.Add(key)
	}
	return handler[*corev1.Service]{
		add: func(service *corev1.Service) {
			s.members.SetService(service)
			queue(service)
			s.mirroring.serviceChanged(nil, service)
		},
		update: func(old, service *corev1.Service) {
			s.members.SetService(service)
			queue(service)
			s.mirroring.serviceChanged(old, service)
		},
		remove: func(service *corev1.Service) {
			s.members.DeleteService(service.Namespace, service.Name)
			queue(service)
			s.mirroring.serviceChanged(service, nil)
		},
	}
}

// sliceEvents tells the two controllers that write EndpointSlices of changes that are not their own.
func sliceEvents(s *session) cache.ResourceEventHandler {
	writers := []*sliceWatcher{s.slices.watcher, s.mirroring.watcher}
	return handler[*discoveryv1.EndpointSlice]{
		add: func(slice *discoveryv1.EndpointSlice) {
			for _, writer := range writers {
				writer.added(slice)
			}
		},
		update: func(old, slice *discoveryv1.EndpointSlice) {
			for _, writer := range writers {
				writer.updated(old, slice)
			}
		},
		remove: func(slice *discoveryv1.EndpointSlice) {
			for _, writer := range writers {
				writer.deleted(slice)
			}
		},
	}
}

// endpointsEvents queues Endpoints for mirroring, and Services whose Endpoints were deleted by other hands.
func endpointsEvents(s *session) cache.ResourceEventHandler {
	return handler[*corev1.Endpoints]{
		add:    func(e *corev1.Endpoints) { s.mirroring.endpointsChanged(nil, e) },
		update: func(old, e *corev1.Endpoints) { s.mirroring.endpointsChanged(old, e) },
		remove: func(e *corev1.Endpoints) {
			s.endpoints.loop.queue.Add(keyOf(e.Namespace, e.Name))
			s.mirroring.endpointsChanged(e, nil)
		},
	}
}
