package zone

import (
	"bytes"
	"math"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/model"
)

// services appends the SRV records of what was found, and the addresses of their targets.
func (c *composer) services(f *found) {
	switch f.kind {
	case kindCluster:
		c.clusterServices(f)
	case kindEndpoints:
		c.endpointServices(f)
	}
}

// clusterServices appends an SRV record for each port of a Service, with the Service itself as target.
func (c *composer) clusterServices(f *found) {
	svc := f.entry.service
	n := 0
	for i := range svc.Ports {
		if f.wants(svc.Ports[i].Name, svc.Ports[i].Protocol) {
			n += len(svc.ClusterIPs)
		}
	}
	t := target{service: f.entry.ref, zone: c.zone}
	var seen portSet
	first := len(c.msg) + pointerSize + fixedSize + srvFixed // where the target of the first record is
	for i := range svc.Ports {
		if p := &svc.Ports[i]; n > 0 && f.wants(p.Name, p.Protocol) && seen.add(p.Port) {
			c.count(c.srv(weight(n), p.Port, &t))
		}
	}
	if c.reply.Answers == 0 {
		return
	}
	for _, a := range svc.ClusterIPs {
		if c.addressAt(first, a) {
			c.reply.Additionals++
		}
	}
}

// weight returns the share of one of n records, computed as CoreDNS does.
func weight(n int) uint16 {
	w := 100.0 / float64(100*n) * 100
	return max(1, uint16(math.Floor(w)))
}

// endpointServices appends an SRV record for each name of an endpoint and port.
func (c *composer) endpointServices(f *found) {
	w := weight(max(1, f.ports()))
	begin := len(c.msg)
	var buf, before [maxLabel]byte
	last := before[:0]
	var seen portSet // of the endpoints of one name
	for _, p := range f.order {
		ep, ports, ok := f.member(p)
		if c.truncated {
			return
		}
		if !ok {
			continue
		}
		t := target{endpoint: appendEndpointName(buf[:0], ep, f.byPod), service: f.entry.ref, zone: c.zone}
		if string(t.endpoint) != string(last) {
			seen.clear()
			last = append(before[:0], t.endpoint...)
		}
		for k := range ports {
			if q := &ports[k]; q.Port != 0 && f.wants(q.Name, q.Protocol) && seen.add(q.Port) {
				c.count(c.srv(w, q.Port, &t))
			}
		}
	}
	c.glue(f, begin)
}

// glue appends the address of each endpoint that is the target of an SRV record; the records begin at an offset. Both
// are in the order of the endpoints' names.
func (c *composer) glue(f *found, at int) {
	end := len(c.msg)
	var buf [maxLabel]byte
	for i, p := range f.order {
		ep, ports, ok := f.member(p)
		if !ok || !f.hasPort(ports) {
			continue
		}
		name := appendEndpointName(buf[:0], ep, f.byPod)
		for at < end && bytes.Compare(srvLabel(c.msg[at:]), name) < 0 {
			at += srvLength(c.msg[at:])
		}
		if at == end {
			return
		}
		if string(srvLabel(c.msg[at:])) != string(name) || f.repeatsInName(i, ep) {
			continue
		}
		if c.glueAt(at+pointerSize+fixedSize+srvFixed, name, f.entry.ref, ep.Addr) {
			c.reply.Additionals++
		}
	}
}

// glueAt appends an address record for a target that is at an offset; beyond the reach of pointers it is written anew.
func (c *composer) glueAt(at int, name []byte, service model.Ref, a netip.Addr) bool {
	if at < pointerLimit {
		return c.addressAt(at, a)
	}
	t := target{endpoint: name, service: service, zone: c.zone}
	if !c.fits(t.length() + fixedSize + a.BitLen()/8) {
		return false
	}
	c.msg = t.append(c.msg)
	c.address(a)
	return true
}

// srvLabel returns the first label of the target of an SRV record that srv wrote.
func srvLabel(record []byte) []byte {
	t := record[pointerSize+fixedSize+srvFixed:]
	return t[1 : 1+t[0]]
}

// srvLength returns the length of an SRV record that srv wrote.
func srvLength(record []byte) int {
	return pointerSize + fixedSize + int(record[pointerSize+fixedSize-2])<<8 + int(record[pointerSize+fixedSize-1])
}

// portSet is a set of port numbers, without an allocation while it is small.
type portSet struct {
	few  [16]uint16
	n    int
	many map[uint16]struct{}
}

func (s *portSet) clear() { s.n, s.many = 0, nil }

// add adds a port and reports whether it is new.
func (s *portSet) add(port uint16) bool {
	for _, p := range s.few[:s.n] {
		if p == port {
			return false
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = port
		s.n++
		return true
	}
	if _, ok := s.many[port]; ok {
		return false
	}
	if s.many == nil {
		s.many = map[uint16]struct{}{}
	}
	s.many[port] = struct{}{}
	return true
}

// ports returns the number of pairs of a selected endpoint and a port that is meant, as CoreDNS counts them: an endpoint
// without ports is one.
func (s *selection) ports() int {
	n := 0
	for _, p := range s.order {
		_, ports, ok := s.member(p)
		if !ok {
			continue
		}
		n += max(1-len(ports), 0)
		for i := range ports {
			if s.wants(ports[i].Name, ports[i].Protocol) {
				n++
			}
		}
	}
	return n
}

// hasPort reports whether a port that is meant has a number.
func (s *selection) hasPort(ports []model.EndpointPort) bool {
	for i := range ports {
		if ports[i].Port != 0 && s.wants(ports[i].Name, ports[i].Protocol) {
			return true
		}
	}
	return false
}

// repeatsInName reports whether an earlier endpoint with a port has the name and the address of the i-th.
func (s *selection) repeatsInName(i int, ep *model.Endpoint) bool {
	if !s.order[i].again {
		return false
	}
	for j := i - 1; j >= 0 && s.sameName(s.order[j], s.order[i]); j-- {
		if other, ports, ok := s.member(s.order[j]); ok && other.Addr == ep.Addr && s.hasPort(ports) {
			return true
		}
	}
	return false
}
