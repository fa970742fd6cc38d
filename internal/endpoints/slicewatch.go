package endpoints

import (
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	sliceutil "k8s.io/endpointslice/util"
)

// sliceWatcher tells changes of a controller's EndpointSlices that other hands made from those that it made itself, and
// queues the Service (or Endpoints) of the former. One each for the controllers that write slices.
type sliceWatcher struct {
	managedBy string
	tracker   *sliceutil.EndpointSliceTracker
	// delay is how long a queued key waits, to take in the changes of several slices at once.
	delay time.Duration
	queue func(key string, delay time.Duration)
}

func (w *sliceWatcher) added(slice *discoveryv1.EndpointSlice) {
	if w.manages(slice) && w.tracker.ShouldSync(slice) {
		w.queueServiceOf(slice)
	}
}

func (w *sliceWatcher) updated(old, slice *discoveryv1.EndpointSlice) {
	// A change of labels does not raise the generation that the tracker compares, and users can make it.
	if old.Labels[discoveryv1.LabelServiceName] != slice.Labels[discoveryv1.LabelServiceName] {
		w.queueServiceOf(slice)
		w.queueServiceOf(old)
		return
	}
	changedHands := w.manages(old) != w.manages(slice)
	if changedHands || w.manages(slice) && w.tracker.ShouldSync(slice) {
		w.queueServiceOf(slice)
	}
}

func (w *sliceWatcher) deleted(slice *discoveryv1.EndpointSlice) {
	if w.manages(slice) && w.tracker.Has(slice) && !w.tracker.HandleDeletion(slice) {
		w.queueServiceOf(slice) // not deleted by this controller
	}
}

func (w *sliceWatcher) manages(slice *discoveryv1.EndpointSlice) bool {
	return slice.Labels[discoveryv1.LabelManagedBy] == w.managedBy
}

func (w *sliceWatcher) queueServiceOf(slice *discoveryv1.EndpointSlice) {
	for _, key := range sliceServiceKeys(slice) {
		w.queue(key, w.delay)
	}
}
