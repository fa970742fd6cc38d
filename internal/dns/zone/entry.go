package zone

import (
	"bytes"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// entry is a Service with its slices. Either may be missing: slices may come before their Service.
//
// What most questions need comes first, so that it is at hand with the entry itself: every further place in memory that an answer needs
// costs as much as all that is computed for it.
type entry struct {
	id   uint32
	sort serviceSort
	// has4 and has6 say which of v4 and v6 are the Service's cluster IPs. With more than one of a family, it has several, and these are not
	// set.
	has4, has6, several bool
	v4                  [4]byte
	v6                  [16]byte

	ref     model.Ref
	service *model.Service
	slices  []*model.EndpointSlice
	// order has the ready endpoints in the order of their names; orderByPod the same where pods lend their names.
	order, orderByPod []position
}

// serviceSort is what sort of Service an entry is.
type serviceSort uint8

const (
	serviceNone     serviceSort = iota // slices without a Service
	serviceCluster                     // with cluster IPs
	serviceHeadless                    // without
	serviceExternal                    // an ExternalName Service
)

// sortOf returns the sort of a Service, which may be nil.
func sortOf(s *model.Service) serviceSort {
	switch {
	case s == nil:
		return serviceNone
	case s.Type == model.ExternalName:
		return serviceExternal
	case s.Headless:
		return serviceHeadless
	}
	return serviceCluster
}

// setClusterIPs sets what the entry has of its Service's cluster IPs.
func (e *entry) setClusterIPs() {
	if e.sort != serviceCluster {
		return
	}
	for _, a := range e.service.ClusterIPs {
		switch {
		case a.Is4() && !e.has4:
			e.has4, e.v4 = true, a.As4()
		case !a.Is4() && !e.has6:
			e.has6, e.v6 = true, a.As16()
		default:
			e.several = true
		}
	}
}

// position is where in the slices of an entry an endpoint is.
type position struct {
	slice, index uint16
	// again is true if an earlier position has the same address.
	again bool
}

// at returns an endpoint with the ports of its slice.
func (e *entry) at(p position) (*model.Endpoint, []model.EndpointPort) {
	s := e.slices[p.slice]
	return &s.Endpoints[p.index], s.Ports
}

// ordered returns the ready endpoints in the order of their names.
func (e *entry) ordered(byPod bool) []position {
	if byPod && e.orderByPod != nil {
		return e.orderByPod
	}
	return e.order
}

// named returns the part of the order that has a name.
func (e *entry) named(name []byte, byPod bool) []position {
	order := e.ordered(byPod)
	var buf [maxLabel]byte
	compare := func(i int) int {
		ep, _ := e.at(order[i])
		return bytes.Compare(appendEndpointName(buf[:0], ep, byPod), name)
	}
	first := sort.Search(len(order), func(i int) bool { return compare(i) >= 0 })
	end := first
	for end < len(order) && compare(end) == 0 {
		end++
	}
	return order[first:end]
}

// maxLabel is the greatest length of a label in bytes (RFC 1035, 2.3.4).
const maxLabel = 63

// appendEndpointName appends the name of an endpoint: its hostname, else, if pods lend theirs, that of its pod, else its
// address with dashes. A pod's name that is no label is passed over.
func appendEndpointName(b []byte, e *model.Endpoint, byPod bool) []byte {
	if e.Hostname != "" && len(e.Hostname) <= maxLabel {
		return append(b, e.Hostname...)
	}
	if byPod && e.Pod != "" && len(e.Pod) <= maxLabel && strings.IndexByte(e.Pod, '.') < 0 {
		return append(b, e.Pod...)
	}
	start := len(b)
	b = e.Addr.AppendTo(b)
	for i := start; i < len(b); i++ {
		if b[i] == '.' || b[i] == ':' {
			b[i] = '-'
		}
	}
	if b[len(b)-1] == '-' {
		b = append(b, '0')
	}
	return b
}

// arranger orders the endpoints of one entry after the other, in the same memory.
type arranger struct {
	names []byte
	items []arranged
}

type arranged struct {
	position
	name [2]int // where in names
	addr netip.Addr
}

// arrange returns the positions of the ready endpoints in the order of their names.
func (a *arranger) arrange(e *entry, byPod bool) []position {
	a.names, a.items = a.names[:0], a.items[:0]
	for i, s := range e.slices {
		for j := range s.Endpoints {
			ep := &s.Endpoints[j]
			if !ep.Conditions.Has(model.Ready) {
				continue
			}
			begin := len(a.names)
			a.names = appendEndpointName(a.names, ep, byPod)
			a.items = append(a.items, arranged{position{uint16(i), uint16(j), false}, [2]int{begin, len(a.names)}, ep.Addr})
		}
	}
	if len(a.items) == 0 {
		return nil
	}
	slices.SortStableFunc(a.items, func(x, y arranged) int { return x.addr.Compare(y.addr) })
	for i := 1; i < len(a.items); i++ {
		a.items[i].again = a.items[i].addr == a.items[i-1].addr
	}
	// Stable, so that of the endpoints of one name and address the first is not marked.
	slices.SortStableFunc(a.items, func(x, y arranged) int {
		return bytes.Compare(a.names[x.name[0]:x.name[1]], a.names[y.name[0]:y.name[1]])
	})
	out := make([]position, len(a.items))
	for i := range a.items {
		out[i] = a.items[i].position
	}
	return out
}

// ready returns the number of ready endpoints.
func (e *entry) ready() int { return len(e.order) }

// addrs appends the addresses by which a Service is found in reverse: cluster IPs and ready endpoints, each once, in
// order.
func (e *entry) addrs(out []netip.Addr) []netip.Addr {
	if e.service != nil {
		out = append(out, e.service.ClusterIPs...)
	}
	for _, p := range e.order {
		if ep, _ := e.at(p); !p.again {
			out = append(out, ep.Addr)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
