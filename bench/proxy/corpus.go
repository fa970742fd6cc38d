package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"golang.org/x/sync/errgroup"

	"github.com/switchyard-net/switchyard/bench/apiserver"
)

const (
	namespace           = "default"
	endpointsPerService = 10
	servicePort         = 80
	podPort             = 8080
	// writers is how many objects are created at once: the API server is the limit, not the client.
	writers = 32
)

var (
	serviceNetwork = netip.MustParsePrefix("10.96.0.0/16")
	// podNetwork holds the endpoints of the corpus in its first half and their replacements in the second.
	podNetwork  = netip.MustParsePrefix("10.200.0.0/14")
	replacement = netip.MustParseAddr("10.202.0.0")
)

// corpus is the set of Services that the systems are measured with: selectorless, with one hand-made EndpointSlice of
// ten endpoints each.
type corpus struct {
	client   kubernetes.Interface
	services int
	replaced int // how many endpoints have been replaced, by all runs so far
}

// nth returns the address that is n after the first 256 of a network: below them are those the API server takes itself.
func nth(network netip.Addr, n int) netip.Addr {
	first := network.As4()
	var address [4]byte
	binary.BigEndian.PutUint32(address[:], binary.BigEndian.Uint32(first[:])+256+uint32(n))
	return netip.AddrFrom4(address)
}

func serviceName(i int) string { return fmt.Sprintf("svc-%05d", i) }

// frontend is the cluster IP and port of a Service.
func frontend(i int) netip.AddrPort {
	return netip.AddrPortFrom(nth(serviceNetwork.Addr(), i), servicePort)
}

// pod is the address and port of one endpoint of a Service as it was created.
func pod(i, endpoint int) netip.AddrPort {
	return netip.AddrPortFrom(nth(podNetwork.Addr(), i*endpointsPerService+endpoint), podPort)
}

// grow creates Services until there are n. The API server counts the allocated addresses at each creation, so the ten
// thousandth takes it ten times as long as the thousandth: minutes for all.
func (c *corpus) grow(ctx context.Context, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := c.services; i < n && ctx.Err() == nil; i++ {
		group.Go(func() error { return c.create(ctx, i) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	c.services = n
	return nil
}

func (c *corpus) create(ctx context.Context, i int) error {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: serviceName(i)},
		Spec: corev1.ServiceSpec{
			ClusterIP: frontend(i).Addr().String(),
			Ports:     []corev1.ServicePort{{Name: "http", Port: servicePort, Protocol: corev1.ProtocolTCP}},
		},
	}
	return apiserver.CreateService(ctx, c.client, namespace, service, endpointSlice(i))
}

func endpointSlice(i int) *discoveryv1.EndpointSlice {
	name, port, protocol := "http", int32(podPort), corev1.ProtocolTCP
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: serviceName(i) + "-a",
			Labels: map[string]string{
				discoveryv1.LabelServiceName: serviceName(i),
				discoveryv1.LabelManagedBy:   "bench.switchyard.net",
			},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}},
	}
	ready := true
	for endpoint := range endpointsPerService {
		node := fmt.Sprintf("node-%d", endpoint)
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{pod(i, endpoint).Addr().String()},
			Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			NodeName:   &node,
		})
	}
	return slice
}

// change is one endpoint of a Service to be replaced by another address.
type change struct {
	slice   *discoveryv1.EndpointSlice
	service int
	address netip.Addr // the new endpoint's
}

// nextChange prepares the replacement of one endpoint. Changes go all over the corpus, and never to the same address
// twice.
func (c *corpus) nextChange(ctx context.Context) (change, error) {
	n := c.replaced
	c.replaced++
	next := change{service: (n * 7919) % c.services, address: nth(replacement, n)}
	name := serviceName(next.service) + "-a"
	var err error
	next.slice, err = c.client.DiscoveryV1().EndpointSlices(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return change{}, fmt.Errorf("read EndpointSlice %s: %w", name, err)
	}
	next.slice.Endpoints[n%endpointsPerService].Addresses[0] = next.address.String()
	return next, nil
}

func (c *corpus) apply(ctx context.Context, next change) error {
	_, err := c.client.DiscoveryV1().EndpointSlices(namespace).Update(ctx, next.slice, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("change EndpointSlice %s: %w", next.slice.Name, err)
	}
	return nil
}
