package endpoints

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/dump"
)

// packer gathers (address, port, readiness) triples and packs them into the canonical subsets of Endpoints: addresses
// that offer the same ports, with the same readiness, share a subset. Layout and order are those of upstream's
// RepackSubsets (pkg/api/v1/endpoints/util.go), so that a change of controller does not rewrite Endpoints.
type packer struct {
	addresses map[addressKey]corev1.EndpointAddress
	offers    map[portKey]map[addressKey]bool // the bool: ready
}

// addressKey tells addresses apart: pods of the host network share an IP and differ in their UID.
type addressKey struct {
	ip  string
	uid types.UID
}

// portKey is a port by value. The zero portKey stands for "no port", which headless Services may have.
type portKey struct {
	name, appProtocol string
	hasAppProtocol    bool
	number            int32
	protocol          corev1.Protocol
}

func newPacker() *packer {
	return &packer{
		addresses: map[addressKey]corev1.EndpointAddress{},
		offers:    map[portKey]map[addressKey]bool{},
	}
}

// add says that the address offers the port; a nil port stands for none. Of two statements on one address and port,
// "not ready" wins; of two descriptions of one address, the first.
func (p *packer) add(address corev1.EndpointAddress, port *corev1.EndpointPort, ready bool) {
	key := addressKey{ip: address.IP}
	if address.TargetRef != nil {
		key.uid = address.TargetRef.UID
	}
	if _, known := p.addresses[key]; !known {
		p.addresses[key] = address
	}
	at := keyOfPort(port)
	if p.offers[at] == nil {
		p.offers[at] = map[addressKey]bool{}
	}
	if was, known := p.offers[at][key]; !known || was {
		p.offers[at][key] = ready
	}
}

// repack returns the subsets in canonical form, newly allocated.
func repack(subsets []corev1.EndpointSubset) []corev1.EndpointSubset {
	p := newPacker()
	for i := range subsets {
		ports := make([]*corev1.EndpointPort, 0, len(subsets[i].Ports))
		for j := range subsets[i].Ports {
			ports = append(ports, &subsets[i].Ports[j])
		}
		if len(ports) == 0 {
			ports = append(ports, nil)
		}
		for _, port := range ports {
			for _, address := range subsets[i].Addresses {
				p.add(address, port, true)
			}
			for _, address := range subsets[i].NotReadyAddresses {
				p.add(address, port, false)
			}
		}
	}
	return p.subsets()
}

// subsets returns what was added; it is empty, not nil, if nothing was.
func (p *packer) subsets() []corev1.EndpointSubset {
	byAddresses := map[string]*corev1.EndpointSubset{}
	for port, offer := range p.offers {
		keys, id := sortedOffer(offer)
		subset := byAddresses[id]
		if subset == nil {
			subset = &corev1.EndpointSubset{}
			byAddresses[id] = subset
			for _, key := range keys {
				if offer[key] {
					subset.Addresses = append(subset.Addresses, p.addresses[key])
				} else {
					subset.NotReadyAddresses = append(subset.NotReadyAddresses, p.addresses[key])
				}
			}
		}
		if port != (portKey{}) {
			subset.Ports = append(subset.Ports, port.endpointPort())
		}
	}
	packed := make([]corev1.EndpointSubset, 0, len(byAddresses))
	for _, subset := range byAddresses {
		sortByHash(subset.Ports)
		packed = append(packed, *subset)
	}
	sortByHash(packed)
	return packed
}

// sortedOffer returns the addresses in order (IP as text, then UID) and a string that is equal for equal offers.
func sortedOffer(offer map[addressKey]bool) ([]addressKey, string) {
	keys := make([]addressKey, 0, len(offer))
	for key := range offer {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b addressKey) int {
		return cmp.Or(strings.Compare(a.ip, b.ip), strings.Compare(string(a.uid), string(b.uid)))
	})
	var id strings.Builder
	for _, key := range keys {
		fmt.Fprintf(&id, "%q%q%t", key.ip, key.uid, offer[key])
	}
	return keys, id.String()
}

// sortByHash puts elements in upstream's order, that of the FNV-128a hash of their dump.
func sortByHash[T any](list []T) {
	if len(list) < 2 {
		return
	}
	type hashed struct {
		hash string
		item T
	}
	order := make([]hashed, len(list))
	for i, item := range list {
		hasher := fnv.New128a()
		fmt.Fprint(hasher, dump.ForHash(item))
		order[i] = hashed{string(hasher.Sum(nil)), item}
	}
	slices.SortStableFunc(order, func(a, b hashed) int { return strings.Compare(a.hash, b.hash) })
	for i := range order {
		list[i] = order[i].item
	}
}

func keyOfPort(port *corev1.EndpointPort) portKey {
	if port == nil {
		return portKey{}
	}
	key := portKey{name: port.Name, number: port.Port, protocol: port.Protocol}
	if port.AppProtocol != nil {
		key.appProtocol, key.hasAppProtocol = *port.AppProtocol, true
	}
	return key
}

func (k portKey) endpointPort() corev1.EndpointPort {
	port := corev1.EndpointPort{Name: k.name, Port: k.number, Protocol: k.protocol}
	if k.hasAppProtocol {
		port.AppProtocol = &k.appProtocol
	}
	return port
}
