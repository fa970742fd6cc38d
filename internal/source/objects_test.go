package source

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func testService(name string, clusterIP string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: "uid-1"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: clusterIP, ClusterIPs: []string{clusterIP},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(8080)}},
		},
	}
}

func testSlice(name, service string, addrs ...string) *discoveryv1.EndpointSlice {
	port, portName, protocol, node, zone := int32(8080), "http", corev1.ProtocolTCP, "node-1", "zone-a"
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &portName, Port: &port, Protocol: &protocol}},
	}
	for i, a := range addrs {
		ready := true
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{a}, NodeName: &node, Zone: &zone,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: fmt.Sprintf("%s-%d", name, i)},
			Hints:      &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: zone}}},
		})
	}
	return s
}

func testNode(name, addr string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: "zone-a"}},
		Spec:       corev1.NodeSpec{PodCIDRs: []string{"10.244.0.0/24"}},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: addr}}},
	}
}

func testCIDR(name string, cidrs ...string) *networkingv1.ServiceCIDR {
	return &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: cidrs}}
}

// mutate makes one random change to the server's state. Names come from a small set, so that objects are changed,
// deleted and made anew, and slices move between Services.
func mutate(api *apiServer, rng *rand.Rand) {
	svc := fmt.Sprintf("svc-%d", rng.IntN(12))
	addr := fmt.Sprintf("10.0.%d.%d", rng.IntN(4), rng.IntN(250))
	switch rng.IntN(10) {
	case 0:
		api.remove(Services, refOf(testService(svc, addr)))
	case 1, 2:
		api.put(testService(svc, addr))
	case 3:
		api.remove(EndpointSlices, refOf(testSlice(fmt.Sprintf("slice-%d", rng.IntN(20)), svc)))
	case 4, 5, 6:
		s := testSlice(fmt.Sprintf("slice-%d", rng.IntN(20)), svc, addr, "10.9.9.9")
		switch rng.IntN(8) {
		case 0:
			s.Labels = nil
		case 1:
			s.AddressType = discoveryv1.AddressTypeFQDN
		}
		api.put(s)
	case 7:
		api.put(testNode(fmt.Sprintf("node-%d", rng.IntN(4)), addr))
	case 8:
		api.remove(Nodes, refOf(testNode(fmt.Sprintf("node-%d", rng.IntN(4)), addr)))
	default:
		if c := testCIDR("extra", "10.64.0.0/16"); rng.IntN(2) == 0 {
			api.put(c)
		} else {
			api.remove(ServiceCIDRs, refOf(c))
		}
	}
}
