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
	"k8s.io/utils/ptr"

	"golang.org/x/sync/errgroup"

	"github.com/switchyard-net/switchyard/bench/apiserver"
)

const (
	namespace           = "default"
	endpointsPerService = 10
	// dualStack Services have cluster IPs of both families; each makes the API server count all those that it has given out.
	dualStack = 1000
	// headless Services there are with smallHeadless endpoints and with largeHeadless ones, each.
	headless      = 20
	smallHeadless = 3
	largeHeadless = 100
	// writers is how many objects are created at once: the API server is the limit, not the client.
	writers = 32
)

var (
	serviceNetwork  = netip.MustParsePrefix("10.96.0.0/16")
	serviceNetwork6 = netip.MustParsePrefix("fd00:96::/112")
	podNetwork      = netip.MustParseAddr("10.200.0.0")
	// dnsServiceIP is the cluster IP of kube-system/kube-dns, which `switchyard node --dns` serves at.
	dnsServiceIP = netip.MustParseAddr("10.96.0.10")
)

// nth returns the address that is n after the first 256 of a network: below them are those the API server takes itself.
func nth(network netip.Addr, n int) netip.Addr {
	address := network.As4()
	binary.BigEndian.PutUint32(address[:], binary.BigEndian.Uint32(address[:])+256+uint32(n))
	return netip.AddrFrom4(address)
}

func serviceName(i int) string            { return fmt.Sprintf("svc-%05d", i) }
func headlessName(size, i int) string     { return fmt.Sprintf("headless-%d-%d", size, i) }
func clusterName(service string) string   { return service + "." + namespace + ".svc.cluster.local" }
func headlessAddress(n int) netip.Addr    { return nth(netip.MustParseAddr("10.204.0.0"), n) }
func replacementAddress(n int) netip.Addr { return nth(netip.MustParseAddr("10.206.0.0"), n) }

// create creates the Services: selectorless, with one hand-made EndpointSlice each. The API server counts the allocated addresses at each
// creation, so the ten thousandth takes it ten times as long as the thousandth: minutes for all.
func create(ctx context.Context, client kubernetes.Interface, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := 0; i < n && ctx.Err() == nil; i++ {
		spec := corev1.ServiceSpec{ClusterIP: nth(serviceNetwork.Addr(), i).String()}
		if i < dualStack {
			spec.IPFamilyPolicy = ptr.To(corev1.IPFamilyPolicyRequireDualStack)
		}
		var addresses []netip.Addr
		for e := range endpointsPerService {
			addresses = append(addresses, nth(podNetwork, i*endpointsPerService+e))
		}
		group.Go(func() error { return createOne(ctx, client, namespace, serviceName(i), spec, addresses) })
	}
	for _, size := range []int{smallHeadless, largeHeadless} {
		for i := range headless {
			var addresses []netip.Addr
			for e := range size {
				addresses = append(addresses, headlessAddress((i+headless*size)*largeHeadless+e))
			}
			group.Go(func() error {
				return createOne(ctx, client, namespace, headlessName(size, i), corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}, addresses)
			})
		}
	}
	group.Go(func() error {
		return createOne(ctx, client, "kube-system", "kube-dns", corev1.ServiceSpec{ClusterIP: dnsServiceIP.String()}, []netip.Addr{lanAddress.Addr()})
	})
	return group.Wait()
}

func createOne(ctx context.Context, client kubernetes.Interface, namespace, name string, spec corev1.ServiceSpec, addresses []netip.Addr) error {
	spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	return apiserver.CreateService(ctx, client, namespace, service, endpointSlice(name, addresses))
}

// endpointSlice returns the only slice of a Service.
func endpointSlice(service string, addresses []netip.Addr) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: service + "-a",
			Labels: map[string]string{
				discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: "bench.switchyard.net",
			},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{
			{Name: ptr.To("http"), Port: ptr.To[int32](8080), Protocol: ptr.To(corev1.ProtocolTCP)},
		},
	}
	for i, address := range addresses {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{address.String()}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
			NodeName: ptr.To(fmt.Sprintf("node-%d", i%endpointsPerService)),
		})
	}
	return slice
}
