package endpoints

import (
	"context"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	discoveryclient "k8s.io/client-go/kubernetes/typed/discovery/v1"
)

// fencedClient ends every write of EndpointSlices with a context of its own, whatever context the caller passed.
// k8s.io/endpointslice writes with context.TODO(), so that without this a write in flight when the lease is lost could
// still land while the next leader is at work.
type fencedClient struct {
	kubernetes.Interface
	ctx context.Context
}

// DiscoveryV1 returns the fenced client of the group.
func (c fencedClient) DiscoveryV1() discoveryclient.DiscoveryV1Interface {
	return fencedDiscovery{c.Interface.DiscoveryV1(), c.ctx}
}

type fencedDiscovery struct {
	discoveryclient.DiscoveryV1Interface
	ctx context.Context
}

// EndpointSlices returns the fenced client of a namespace's slices.
func (d fencedDiscovery) EndpointSlices(namespace string) discoveryclient.EndpointSliceInterface {
	return fencedSlices{d.DiscoveryV1Interface.EndpointSlices(namespace), d.ctx}
}

type fencedSlices struct {
	discoveryclient.EndpointSliceInterface
	ctx context.Context
}

// Create creates a slice, within the fence's context.
func (s fencedSlices) Create(_ context.Context, slice *discoveryv1.EndpointSlice, opts metav1.CreateOptions) (*discoveryv1.EndpointSlice, error) {
	return s.EndpointSliceInterface.Create(s.ctx, slice, opts)
}

// Update replaces a slice, within the fence's context.
func (s fencedSlices) Update(_ context.Context, slice *discoveryv1.EndpointSlice, opts metav1.UpdateOptions) (*discoveryv1.EndpointSlice, error) {
	return s.EndpointSliceInterface.Update(s.ctx, slice, opts)
}

// Delete deletes a slice, within the fence's context.
func (s fencedSlices) Delete(_ context.Context, name string, opts metav1.DeleteOptions) error {
	return s.EndpointSliceInterface.Delete(s.ctx, name, opts)
}
