package zone

import (
	"bytes"
	"hash/maphash"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/model"
)

// kind is what a name stands for.
type kind uint8

const (
	kindNone      kind = iota // nothing: there is no such name
	kindEmpty                 // a name without records of its own
	kindVersion               // the version of the schema
	kindServer                // this DNS server
	kindAddr                  // the address of a pod
	kindCluster               // the cluster IPs of a Service
	kindEndpoints             // endpoints of a Service
	kindExternal              // the name of an ExternalName Service
)

// found is what the facts say about a name.
type found struct {
	kind kind
	addr netip.Addr
	selection
}

// find looks a name up. Its cases are in the order of CoreDNS's Records, findPods and findServices.
func (z *Zones) find(t *Table, r *request) found {
	switch r.shape {
	case shapeApex, shapeNonTerminal:
		return found{kind: kindEmpty}
	case shapeVersion:
		return found{kind: kindVersion}
	case shapeServer:
		return found{kind: kindServer}
	case shapeWrong:
		return found{}
	}
	if !z.exposed(t, r.namespace) || r.pod && z.options.Pods == PodsDisabled {
		return found{}
	}
	switch r.shape {
	case shapeNamespace:
		return found{kind: kindEmpty}
	case shapePod:
		return z.findPod(r)
	}
	return z.findService(t, r)
}

// exposed reports whether there is a Namespace of that name and its records are to be seen.
func (z *Zones) exposed(t *Table, namespace []byte) bool {
	ns, ok := t.namespaces.Get(text(namespace))
	if !ok {
		return false
	}
	if len(z.options.Namespaces) > 0 {
		if _, ok := z.namespaces[ns.Name]; !ok {
			return false
		}
	}
	return z.options.NamespaceLabels == nil || z.options.NamespaceLabels(ns.Labels)
}

// restricted reports whether some Namespaces are not exposed.
func (z *Zones) restricted() bool {
	return len(z.options.Namespaces) > 0 || z.options.NamespaceLabels != nil
}

func (z *Zones) findPod(r *request) found {
	addr, ok := dashedAddr(r.service)
	if !ok {
		return found{}
	}
	if z.options.Pods == PodsVerified {
		pod, ok := z.options.PodAt(addr)
		if !ok || pod.Namespace != text(r.namespace) {
			return found{}
		}
	}
	return found{kind: kindAddr, addr: addr}
}

func (z *Zones) findService(t *Table, r *request) found {
	e := t.entry(r.key)
	if e == nil || e.sort == serviceNone || z.options.Labels != nil && !z.options.Labels(e.service.Labels) {
		return found{}
	}
	f := found{selection: selection{entry: e, byPod: z.options.EndpointPodNames, port: r.port, protocol: r.protocol}}
	hasEndpoints := !z.options.NoEndpoints && e.ready() > 0
	switch {
	case e.sort == serviceExternal:
		if r.endpoint == nil && r.topology == nil && f.wantsAny() && isName(e.service.ExternalName) {
			f.kind = kindExternal
		}
		return f
	case e.sort == serviceCluster && (z.options.IgnoreEmpty && !hasEndpoints || r.topology != nil):
		return f
	case e.sort == serviceCluster && r.endpoint == nil:
		if f.exists() {
			f.kind = kindCluster
		}
		return f
	case z.options.NoEndpoints:
		return f
	}
	f.order, f.topology, f.narrow = e.ordered(f.byPod), r.topology, r.port != nil || r.protocol != nil
	if r.endpoint != nil {
		f.order, f.narrow = e.named(r.endpoint, f.byPod), true
	}
	switch {
	case f.any():
		f.kind = kindEndpoints
	case r.prefer:
		f.topology = nil
		f.kind = kindEndpoints
	case r.topology != nil:
		f.kind = kindEndpoints // none, but the name exists
	}
	return f
}

// isName reports whether an externalName is no address, for which there can be no CNAME.
func isName(s string) bool {
	_, err := netip.ParseAddr(s)
	return err != nil && s != ""
}

// entry returns the Service of a key, nil if there is none.
func (t *Table) entry(key []byte) *entry {
	return t.names.find(t.hash(key), key)
}

// hash returns the hash of a key or of an address.
func (t *Table) hash(b []byte) uint32 { return uint32(maphash.Bytes(t.seed, b) >> 32) }

// appendKey appends the labels of service and namespace in wire format.
func appendKey(b []byte, r model.Ref) []byte {
	b = append(append(b, byte(len(r.Name))), r.Name...)
	return append(append(b, byte(len(r.Namespace))), r.Namespace...)
}

func isKey(key []byte, r model.Ref) bool {
	n := len(r.Name)
	return len(key) == n+len(r.Namespace)+2 && int(key[0]) == n && string(key[1:1+n]) == r.Name && string(key[2+n:]) == r.Namespace
}

// selection is the endpoints of an entry that a name stands for, or the ports of its Service.
type selection struct {
	entry          *entry
	order          []position
	byPod          bool
	port, protocol []byte // nil: any
	topology       []byte // nil: any
	// narrow is true if the endpoints of one name, port or protocol are meant, so that not all of the entry's may be.
	narrow bool
}

// wants reports whether a port is meant.
func (s *selection) wants(name string, protocol model.Protocol) bool {
	return (len(s.port) == 0 || foldEqual(name, s.port)) &&
		(len(s.protocol) == 0 || foldEqual(protocol.String(), s.protocol))
}

// wantsAny reports whether no port in particular is meant, so that also what has no ports is selected.
func (s *selection) wantsAny() bool { return len(s.port) == 0 && len(s.protocol) == 0 }

// exists reports whether the Service has a port that is meant.
func (s *selection) exists() bool {
	if s.wantsAny() {
		return true
	}
	for i := range s.entry.service.Ports {
		if p := &s.entry.service.Ports[i]; s.wants(p.Name, p.Protocol) {
			return true
		}
	}
	return false
}

// member returns an endpoint with the ports of its slice; false: it is not selected.
func (s *selection) member(p position) (*model.Endpoint, []model.EndpointPort, bool) {
	ep, ports := s.entry.at(p)
	if s.topology != nil && !isTopology(ep.Zone, s.topology) {
		return nil, nil, false
	}
	if len(ports) == 0 || s.wantsAny() {
		return ep, ports, s.wantsAny()
	}
	for i := range ports {
		if s.wants(ports[i].Name, ports[i].Protocol) {
			return ep, ports, true
		}
	}
	return nil, nil, false
}

// any reports whether an endpoint is selected.
func (s *selection) any() bool {
	for _, p := range s.order {
		if _, _, ok := s.member(p); ok {
			return true
		}
	}
	return false
}

// hasAddress reports whether the i-th endpoint gives a record of type A or AAAA.
func (s *selection) hasAddress(i int, kind uint16) bool {
	p := s.order[i]
	ep, _ := s.entry.at(p)
	switch {
	case typeOf(ep.Addr) != kind:
		return false
	case !s.narrow && s.topology == nil:
		return !p.again
	}
	_, _, ok := s.member(p)
	return ok && !s.repeats(i, ep)
}

// repeats reports whether the address of the i-th endpoint, which is selected, is also that of another one that counts.
func (s *selection) repeats(i int, ep *model.Endpoint) bool {
	if !s.order[i].again {
		return false
	}
	if !s.narrow && s.topology == nil {
		return true
	}
	for j, p := range s.order {
		if other, _, ok := s.member(p); ok && j != i && other.Addr == ep.Addr && (j < i || !p.again) {
			return true
		}
	}
	return false
}

// sameName reports whether the endpoints of two positions have one name.
func (s *selection) sameName(a, b position) bool {
	x, _ := s.entry.at(a)
	y, _ := s.entry.at(b)
	if x == y {
		return true
	}
	var bufX, bufY [maxLabel]byte
	return bytes.Equal(appendEndpointName(bufX[:0], x, s.byPod), appendEndpointName(bufY[:0], y, s.byPod))
}
