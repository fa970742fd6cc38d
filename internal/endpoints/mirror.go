package endpoints

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	sliceutil "k8s.io/endpointslice/util"
)

// mirror writes the EndpointSlices of one Endpoints object: one slice for each set of ports and address family.
type mirror struct {
	client  kubernetes.Interface
	tracker *sliceutil.EndpointSliceTracker
	max     int // addresses mirrored of one subset, at most
	metrics *mirrorMetrics
	totals  *mirrorTotals
	events  record.EventRecorder
	log     *slog.Logger
}

// sliceChanges is what has to be written.
type sliceChanges struct {
	create, update, remove []*discoveryv1.EndpointSlice
}

// endpointCounts is how many endpoints a sync adds to, alters in, and takes from slices.
type endpointCounts struct{ added, updated, removed int }

// reconcile makes the slices, all of which mirror the Endpoints, what they should be.
func (m *mirror) reconcile(ctx context.Context, endpoints *corev1.Endpoints, existing []*discoveryv1.EndpointSlice) error {
	wanted := mirrorOf(endpoints, m.max)
	m.report(endpoints, wanted)
	byKey := map[mirrorKey][]*discoveryv1.EndpointSlice{}
	for _, slice := range existing {
		key := mirrorKeyOf(slice.AddressType, slices.Clone(slice.Ports)) // the slice belongs to the watch
		byKey[key] = append(byKey[key], slice)
	}
	var changes sliceChanges
	var counts endpointCounts
	tally := map[mirrorKey]portTally{}
	for key, part := range wanted.parts {
		there := byKey[key]
		create, remove := len(changes.create), len(changes.remove)
		m.reconcilePart(endpoints, part, there, &changes, &counts)
		tally[key] = portTally{
			endpoints: len(part.endpoints),
			slices:    len(there) + len(changes.create) - create - (len(changes.remove) - remove),
		}
	}
	for key, there := range byKey {
		if wanted.parts[key] == nil { // nobody offers these ports any more
			changes.remove = append(changes.remove, there...)
		}
	}
	m.metrics.observe(counts)
	m.totals.set(keyOf(endpoints.Namespace, endpoints.Name), tally)
	changes.recycle()
	return m.apply(ctx, endpoints, changes)
}

// reconcilePart adds to changes what one set of ports of one address family needs.
func (m *mirror) reconcilePart(endpoints *corev1.Endpoints, part *mirrorPart, there []*discoveryv1.EndpointSlice, changes *sliceChanges, counts *endpointCounts) {
	if len(part.endpoints) == 0 {
		changes.remove = append(changes.remove, there...)
		for _, slice := range there {
			counts.removed += len(slice.Endpoints)
		}
		return
	}
	if len(there) == 0 {
		counts.added += len(part.endpoints)
		changes.create = append(changes.create, part.slice(endpoints, ""))
		return
	}
	keep := there[0]
	changes.remove = append(changes.remove, there[1:]...)
	part0 := part.compare(keep)
	counts.added += part0.added
	counts.updated += part0.updated
	counts.removed += part0.removed
	if part0 == (endpointCounts{}) && mirrorsMetadata(endpoints, keep) {
		if !m.tracker.Has(keep) {
			m.tracker.Update(keep)
		}
		return
	}
	changes.update = append(changes.update, part.slice(endpoints, keep.Name))
}

// mirrorsMetadata reports whether the slice has the labels, annotations and owner that it would be written with.
func mirrorsMetadata(endpoints *corev1.Endpoints, slice *discoveryv1.EndpointSlice) bool {
	for _, owner := range slice.OwnerReferences {
		if owner.Kind == "Endpoints" && owner.Name == endpoints.Name && owner.UID != endpoints.UID {
			return false // the Endpoints were deleted and made again
		}
	}
	return maps.Equal(slice.Labels, mirroredLabels(endpoints)) &&
		maps.Equal(slice.Annotations, mirroredAnnotations(endpoints))
}

// recycle turns pairs of one slice to create and one to delete, of the same family, into an update.
func (c *sliceChanges) recycle() {
	var create []*discoveryv1.EndpointSlice
	for _, slice := range c.create {
		spare := slices.IndexFunc(c.remove, func(old *discoveryv1.EndpointSlice) bool {
			return old.AddressType == slice.AddressType
		})
		if spare < 0 {
			create = append(create, slice)
			continue
		}
		slice.Name, slice.GenerateName = c.remove[spare].Name, ""
		c.remove = slices.Delete(c.remove, spare, spare+1)
		c.update = append(c.update, slice)
	}
	c.create = create
}

// apply writes the changes.
func (m *mirror) apply(ctx context.Context, endpoints *corev1.Endpoints, changes sliceChanges) error {
	client := m.client.DiscoveryV1().EndpointSlices(endpoints.Namespace)
	failed := func(what string, err error) error {
		return fmt.Errorf("%s EndpointSlice that mirrors Endpoints %s/%s: %w", what, endpoints.Namespace, endpoints.Name, err)
	}
	if endpoints.DeletionTimestamp == nil { // else the garbage collector would have to delete what is made here
		for _, slice := range changes.create {
			created, err := client.Create(ctx, slice, metav1.CreateOptions{})
			if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
				return nil // in a namespace on its way out no create will succeed
			}
			if err != nil {
				return failed("create", err)
			}
			m.tracker.Update(created)
			m.metrics.changes.WithLabelValues("create").Inc()
		}
	}
	for _, slice := range changes.update {
		updated, err := client.Update(ctx, slice, metav1.UpdateOptions{})
		if err != nil {
			return failed("update", err)
		}
		m.tracker.Update(updated)
		m.metrics.changes.WithLabelValues("update").Inc()
	}
	for _, slice := range changes.remove {
		if err := client.Delete(ctx, slice.Name, metav1.DeleteOptions{}); err != nil {
			return failed("delete", err)
		}
		m.tracker.ExpectDeletion(slice)
		m.metrics.changes.WithLabelValues("delete").Inc()
	}
	return nil
}

// report tells the owner of the Endpoints what is not mirrored.
func (m *mirror) report(endpoints *corev1.Endpoints, wanted mirrored) {
	m.metrics.skipped.WithLabelValues().Observe(float64(wanted.skipped))
	if len(wanted.invalid) > 0 {
		m.log.Info("addresses that are no IPs are not mirrored", "namespace", endpoints.Namespace,
			"endpoints", endpoints.Name, "addresses", wanted.invalid)
		m.events.Eventf(endpoints, corev1.EventTypeWarning, "InvalidIPAddress",
			"Skipped %d invalid IP addresses when mirroring to EndpointSlices", len(wanted.invalid))
	}
	if wanted.skipped > len(wanted.invalid) {
		m.log.Info("more addresses than --mirroring-max-endpoints-per-subset are not mirrored",
			"namespace", endpoints.Namespace, "endpoints", endpoints.Name, "max", m.max, "skipped", wanted.skipped)
		m.events.Eventf(endpoints, corev1.EventTypeWarning, "TooManyAddressesToMirror",
			"A max of %d addresses can be mirrored to EndpointSlices per Endpoints subset. %d addresses were skipped",
			m.max, wanted.skipped)
	}
}
