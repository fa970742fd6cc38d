package endpoints

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	sliceutil "k8s.io/endpointslice/util"
	netutils "k8s.io/utils/net"
)

// mirrorKey names a set of ports in one address family; it is what one mirrored slice holds.
type mirrorKey struct {
	family discoveryv1.AddressType
	ports  sliceutil.PortMapKey
}

// mirrorKeyOf returns the key, and puts the ports in upstream's order.
func mirrorKeyOf(family discoveryv1.AddressType, ports []discoveryv1.EndpointPort) mirrorKey {
	return mirrorKey{family, sliceutil.NewPortMapKey(ports)}
}

// mirrorPart is what the slice of one mirrorKey should hold.
type mirrorPart struct {
	family    discoveryv1.AddressType
	ports     []discoveryv1.EndpointPort
	endpoints sliceutil.EndpointSet
	// order keeps the addresses as the subsets have them, so that a slice reads as its Endpoints do.
	order []*discoveryv1.Endpoint
}

// mirrored is what the slices of one Endpoints object should hold, and what is left out.
type mirrored struct {
	parts   map[mirrorKey]*mirrorPart
	invalid []string // addresses that are no IPs
	skipped int      // all addresses left out: invalid, or more than the limit
}

// mirrorOf returns the mirror of the Endpoints, with at most limit addresses of each subset, ready ones first.
func mirrorOf(endpoints *corev1.Endpoints, limit int) mirrored {
	wanted := mirrored{parts: map[mirrorKey]*mirrorPart{}}
	for _, subset := range repack(endpoints.Subsets) {
		ports := slicePorts(subset.Ports)
		parts := map[discoveryv1.AddressType]*mirrorPart{}
		for _, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
			key := mirrorKeyOf(family, ports)
			if wanted.parts[key] == nil {
				wanted.parts[key] = &mirrorPart{family: family, ports: ports, endpoints: sliceutil.EndpointSet{}}
			}
			parts[family] = wanted.parts[key]
		}
		added := 0
		for i, address := range append(slices.Clone(subset.Addresses), subset.NotReadyAddresses...) {
			if added >= limit {
				break
			}
			endpoint, family := mirrorEndpoint(address, i < len(subset.Addresses))
			if endpoint == nil {
				wanted.invalid = append(wanted.invalid, address.IP)
				continue
			}
			parts[family].add(endpoint)
			added++
		}
		wanted.skipped += len(subset.Addresses) + len(subset.NotReadyAddresses) - added
	}
	return wanted
}

// add adds an endpoint; one of the same address, host name and target replaces the other.
func (p *mirrorPart) add(endpoint *discoveryv1.Endpoint) {
	if p.endpoints.Has(endpoint) {
		p.order = slices.DeleteFunc(p.order, func(other *discoveryv1.Endpoint) bool {
			return other == p.endpoints.Get(endpoint)
		})
	}
	p.endpoints.Insert(endpoint)
	p.order = append(p.order, endpoint)
}

// compare counts what it takes to make the slice hold the part.
func (p *mirrorPart) compare(slice *discoveryv1.EndpointSlice) endpointCounts {
	var counts endpointCounts
	matched := 0
	for i := range slice.Endpoints {
		there := &slice.Endpoints[i]
		wanted := p.endpoints.Get(there)
		if wanted == nil {
			counts.removed++
			continue
		}
		matched++
		if !sliceutil.EndpointsEqualBeyondHash(wanted, there) {
			counts.updated++
		}
	}
	counts.added = len(p.endpoints) - matched
	return counts
}

// slice returns the slice for the part, named, or to be named by the API server if name is empty.
func (p *mirrorPart) slice(endpoints *corev1.Endpoints, name string) *discoveryv1.EndpointSlice {
	owner := metav1.NewControllerRef(endpoints, schema.GroupVersionKind{Version: "v1", Kind: "Endpoints"})
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       endpoints.Namespace,
			Name:            name,
			Labels:          mirroredLabels(endpoints),
			Annotations:     mirroredAnnotations(endpoints),
			OwnerReferences: []metav1.OwnerReference{*owner},
		},
		AddressType: p.family,
		Ports:       p.ports,
		Endpoints:   make([]discoveryv1.Endpoint, 0, len(p.order)),
	}
	if name == "" {
		slice.GenerateName = slicePrefix(endpoints.Name)
	}
	for _, endpoint := range p.order {
		slice.Endpoints = append(slice.Endpoints, *endpoint)
	}
	return slice
}

// mirroredLabels returns the Endpoints' labels and the two that every slice has.
func mirroredLabels(endpoints *corev1.Endpoints) map[string]string {
	labels := maps.Clone(endpoints.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[discoveryv1.LabelServiceName] = endpoints.Name
	labels[discoveryv1.LabelManagedBy] = mirroringManagedBy
	return labels
}

// mirroredAnnotations returns the Endpoints' annotations but two that speak of the Endpoints object itself.
func mirroredAnnotations(endpoints *corev1.Endpoints) map[string]string {
	annotations := maps.Clone(endpoints.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	delete(annotations, corev1.EndpointsLastChangeTriggerTime)
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	return annotations
}

// slicePrefix returns the prefix that the API server completes to a name; a dash follows unless the name is too long.
func slicePrefix(name string) string {
	prefix := name + "-"
	if len(apivalidation.NameIsDNSSubdomain(prefix, true)) > 0 {
		return name
	}
	return prefix
}

// mirrorEndpoint returns the endpoint for an address, and its family; nil if the address is no IP.
func mirrorEndpoint(address corev1.EndpointAddress, ready bool) (*discoveryv1.Endpoint, discoveryv1.AddressType) {
	ip := netutils.ParseIPSloppy(address.IP) // old objects may hold irregular forms, such as leading zeros
	if ip == nil {
		return nil, ""
	}
	family := discoveryv1.AddressTypeIPv4
	if ip.To4() == nil {
		family = discoveryv1.AddressTypeIPv6
	}
	endpoint := &discoveryv1.Endpoint{
		Addresses:  []string{ip.String()},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		TargetRef:  address.TargetRef,
		NodeName:   address.NodeName,
	}
	if address.Hostname != "" {
		endpoint.Hostname = &address.Hostname
	}
	return endpoint, family
}

func slicePorts(ports []corev1.EndpointPort) []discoveryv1.EndpointPort {
	converted := make([]discoveryv1.EndpointPort, 0, len(ports))
	for _, port := range ports {
		converted = append(converted, discoveryv1.EndpointPort{
			Name: &port.Name, Port: &port.Port, Protocol: &port.Protocol, AppProtocol: port.AppProtocol,
		})
	}
	return converted
}
