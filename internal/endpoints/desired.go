package endpoints

import (
	"maps"
	"math"

	corev1 "k8s.io/api/core/v1"
	endpointslice "k8s.io/endpointslice"
	sliceutil "k8s.io/endpointslice/util"
	netutils "k8s.io/utils/net"
)

// The label, its value and the annotation's value by which Endpoints of this controller are known; upstream's.
const (
	endpointsManagedByLabel = "endpoints.kubernetes.io/managed-by"
	endpointsManagedBy      = "endpoint-controller"
	overCapacityTruncated   = "truncated"
)

// maxEndpointsAddresses is how many addresses Endpoints hold; more are cut off, and an annotation says so.
const maxEndpointsAddresses = 1000

// receivesEndpoints reports whether the controllers make endpoints for the Service: it has a selector, and is not an
// alias for a name (kubernetes/kubernetes#105986).
func receivesEndpoints(service *corev1.Service) bool {
	return service.Spec.Type != corev1.ServiceTypeExternalName && service.Spec.Selector != nil
}

// desiredSubsets returns the subsets that the Service's Endpoints should have, and whether addresses were cut off.
func desiredSubsets(service *corev1.Service, pods []*corev1.Pod) (subsets []corev1.EndpointSubset, truncated bool) {
	p := newPacker()
	for _, pod := range pods {
		if !sliceutil.ShouldPodBeInEndpoints(pod, service.Spec.PublishNotReadyAddresses) {
			continue
		}
		address, ok := endpointAddress(service, pod)
		if !ok {
			continue
		}
		ready := service.Spec.PublishNotReadyAddresses || sliceutil.IsPodReady(pod)
		if len(service.Spec.Ports) == 0 && service.Spec.ClusterIP == corev1.ClusterIPNone {
			p.add(address, nil, ready)
			continue
		}
		for i := range service.Spec.Ports {
			port := &service.Spec.Ports[i]
			number, err := endpointslice.FindPort(pod, port)
			if err != nil {
				continue // the pod has no port of this name: it offers the Service's other ports only
			}
			p.add(address, &corev1.EndpointPort{
				Name:        port.Name,
				Port:        int32(number),
				Protocol:    port.Protocol,
				AppProtocol: port.AppProtocol,
			}, ready)
		}
	}
	return truncate(p.subsets())
}

// endpointAddress returns the pod's address of the Service's first IP family; false if the pod has none of that family.
func endpointAddress(service *corev1.Service, pod *corev1.Pod) (corev1.EndpointAddress, bool) {
	wantIPv6 := primaryFamily(service, pod) == corev1.IPv6Protocol
	for _, podIP := range pod.Status.PodIPs {
		// Parsed and printed again: the status may hold an irregular form, such as leading zeros.
		ip := netutils.ParseIPSloppy(podIP.IP)
		if ip == nil || netutils.IsIPv6(ip) != wantIPv6 {
			continue
		}
		address := corev1.EndpointAddress{
			IP:       ip.String(),
			NodeName: &pod.Spec.NodeName,
			TargetRef: &corev1.ObjectReference{
				Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID,
			},
		}
		if sliceutil.ShouldSetHostname(pod, service) {
			address.Hostname = pod.Spec.Hostname
		}
		return address, true
	}
	return corev1.EndpointAddress{}, false
}

// primaryFamily returns the Service's first IP family. Services older than dual stack may have none in the watch: then
// the cluster IP tells, or the pod's own address (kubernetes/kubernetes#138736).
func primaryFamily(service *corev1.Service, pod *corev1.Pod) corev1.IPFamily {
	hint := service.Spec.ClusterIP
	switch {
	case len(service.Spec.IPFamilies) > 0:
		return service.Spec.IPFamilies[0]
	case hint == "" || hint == corev1.ClusterIPNone:
		hint = pod.Status.PodIP
	}
	if netutils.IsIPv6String(hint) {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}

// desiredLabels returns the labels that the Service's Endpoints should have: the Service's and two of the controller's.
func desiredLabels(service *corev1.Service) map[string]string {
	labels := maps.Clone(service.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	if service.Spec.ClusterIP == "" || service.Spec.ClusterIP == corev1.ClusterIPNone {
		labels[corev1.IsHeadlessService] = ""
	} else {
		delete(labels, corev1.IsHeadlessService)
	}
	labels[endpointsManagedByLabel] = endpointsManagedBy
	return labels
}

// truncate keeps at most maxEndpointsAddresses addresses, ready ones first, each subset in proportion to its share.
func truncate(subsets []corev1.EndpointSubset) ([]corev1.EndpointSubset, bool) {
	ready, notReady := 0, 0
	for i := range subsets {
		ready += len(subsets[i].Addresses)
		notReady += len(subsets[i].NotReadyAddresses)
	}
	if ready+notReady <= maxEndpointsAddresses {
		return subsets, false
	}
	if ready > maxEndpointsAddresses {
		left := maxEndpointsAddresses
		for i := range subsets {
			subsets[i].Addresses = share(subsets[i].Addresses, ready, maxEndpointsAddresses, &left)
			subsets[i].NotReadyAddresses = []corev1.EndpointAddress{}
		}
		return subsets, true
	}
	room := maxEndpointsAddresses - ready
	left := room
	for i := range subsets {
		subsets[i].NotReadyAddresses = share(subsets[i].NotReadyAddresses, notReady, room, &left)
	}
	return subsets, true
}

// share returns the first of the addresses: as many as their part of total is of room, rounded up while there is any
// left.
func share(addresses []corev1.EndpointAddress, total, room int, left *int) []corev1.EndpointAddress {
	part := int(math.Ceil(float64(len(addresses)) / float64(total) * float64(room)))
	part = min(part, *left, len(addresses))
	*left -= part
	return addresses[:part]
}
