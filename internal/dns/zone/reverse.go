package zone

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// holders returns items of the index among which the entries are that have an address, as a cluster IP or as that of a
// ready endpoint, and the hash of these. It is no iterator, as that would allocate.
func (t *Table) holders(addr netip.Addr) (items []uint64, hash uint32) {
	hash = t.hashAddr(addr)
	return t.addrs.bucket(hash), hash
}

// holder returns the entry of an item with that hash, nil for others.
func (t *Table) holder(item uint64, hash uint32) *entry {
	if uint32(item>>32) != hash {
		return nil
	}
	return t.entries.at(uint32(item))
}

// hasClusterIP reports whether an address is a cluster IP of the Service.
func (e *entry) hasClusterIP(addr netip.Addr) bool {
	return e.service != nil && slices.Contains(e.service.ClusterIPs, addr)
}

// has reports whether an address is a cluster IP of the Service or that of a ready endpoint: a hash may be found twice.
func (e *entry) has(addr netip.Addr) bool {
	return e.hasClusterIP(addr) || slices.ContainsFunc(e.order, func(p position) bool {
		ep, _ := e.at(p)
		return ep.Addr == addr
	})
}

// precedes reports whether a cluster IP that two Services claim is e's: the older one keeps it, as in the service proxy.
func (e *entry) precedes(other *entry) bool {
	return cmp.Or(e.service.Created.Compare(other.service.Created), cmp.Compare(e.ref.Namespace, other.ref.Namespace),
		cmp.Compare(e.ref.Name, other.ref.Name)) < 0
}

// reveals reports whether the names of an entry may be given for its addresses. As in CoreDNS, a Namespace that does not
// exist matters only where some are not exposed.
func (z *Zones) reveals(t *Table, e *entry) bool {
	if z.restricted() && !z.exposed(t, []byte(e.ref.Namespace)) {
		return false
	}
	return z.options.Labels == nil || e.service != nil && z.options.Labels(e.service.Labels)
}

// owner returns the Service that has an address as a cluster IP, nil if none that is to be seen has.
func (z *Zones) owner(t *Table, addr netip.Addr) *entry {
	var owner *entry
	items, hash := t.holders(addr)
	for _, item := range items {
		e := t.holder(item, hash)
		if e == nil || !e.hasClusterIP(addr) || !z.reveals(t, e) {
			continue
		}
		if owner == nil || e.precedes(owner) {
			owner = e
		}
	}
	return owner
}

// reverse composes the answer to a reverse look-up: the name of the Service that has the address as a cluster IP, else
// those of the endpoints that have it.
func (c *composer) reverse(addr netip.Addr) ([]byte, Reply) {
	zone := c.zones.primary
	if e := c.zones.owner(c.table, addr); e != nil {
		c.count(c.pointsTo(typePTR, &target{service: e.ref, zone: zone}))
		return c.done()
	}
	if c.zones.options.NoEndpoints {
		return c.missing()
	}
	items, hash := c.table.holders(addr)
	for _, item := range items {
		if e := c.table.holder(item, hash); e != nil && c.zones.reveals(c.table, e) {
			c.endpointNames(e, addr, zone)
		}
	}
	if c.reply.Answers == 0 && !c.truncated {
		return c.missing()
	}
	return c.done()
}

// endpointNames appends a PTR record for each name that an address has in an entry.
func (c *composer) endpointNames(e *entry, addr netip.Addr, zone []byte) {
	byPod := c.zones.options.EndpointPodNames
	var buf, before [maxLabel]byte
	last := before[:0]
	for _, p := range e.ordered(byPod) {
		ep, _ := e.at(p)
		if ep.Addr != addr {
			continue
		}
		name := appendEndpointName(buf[:0], ep, byPod)
		if string(name) != string(last) {
			c.count(c.pointsTo(typePTR, &target{endpoint: name, service: e.ref, zone: zone}))
		}
		last = append(before[:0], name...)
	}
}

// explainReverse says in words whose an address is.
func (z *Zones) explainReverse(t *Table, addr netip.Addr) string {
	if e := z.owner(t, addr); e != nil {
		return fmt.Sprintf("%s is a cluster IP of Service %s", addr, e.ref)
	}
	var refs []string
	items, hash := t.holders(addr)
	for _, item := range items {
		if e := t.holder(item, hash); e != nil && e.has(addr) && z.reveals(t, e) {
			refs = append(refs, e.ref.String())
		}
	}
	if len(refs) == 0 || z.options.NoEndpoints {
		return fmt.Sprintf("%s is neither a cluster IP nor a ready endpoint", addr)
	}
	slices.Sort(refs)
	return fmt.Sprintf("%s is a ready endpoint of Service %s", addr, strings.Join(refs, ", "))
}

// server is a name with an address at which this server is reached. It is an endpoint of a Service, a Service, or, where
// the Service has no name, ns.dns.
type server struct {
	endpoint string
	service  model.Ref
	addr     netip.Addr
}

// servers returns by which names and addresses this server is known: those of the Services that have an address of ours
// as an endpoint or as a cluster IP, else ns.dns with our addresses.
func (z *Zones) servers(t *Table) []server {
	if z.options.Addrs == nil {
		return nil
	}
	var out []server
	add := func(s server) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	own := z.options.Addrs()
	for _, addr := range own {
		items, hash := t.holders(addr)
		for _, item := range items {
			e := t.holder(item, hash)
			switch {
			case e == nil || !e.has(addr) || e.service == nil || !z.exposed(t, []byte(e.ref.Namespace)):
			case e.service.Headless:
				for _, p := range e.ordered(z.options.EndpointPodNames) {
					ep, _ := e.at(p)
					name := appendEndpointName(nil, ep, z.options.EndpointPodNames)
					add(server{string(name), e.ref, ep.Addr})
				}
			default:
				for _, ip := range e.service.ClusterIPs {
					add(server{service: e.ref, addr: ip})
				}
			}
		}
	}
	if len(out) == 0 {
		for _, addr := range own {
			add(server{addr: addr})
		}
	}
	return out
}

// nameServers appends the NS records of a zone, and their addresses.
func (c *composer) nameServers() {
	servers := c.zones.servers(c.table)
	var names []server
	for _, s := range servers {
		name := server{endpoint: s.endpoint, service: s.service}
		if !slices.Contains(names, name) {
			names = append(names, name)
			data := c.serverName(s)
			c.count(c.wire(typeNS, c.ttl, string(data)))
		}
	}
	for _, s := range servers {
		owner := c.serverName(s)
		if c.fits(len(owner) + fixedSize + s.addr.BitLen()/8) {
			c.msg = append(c.msg, owner...)
			c.address(s.addr)
			c.reply.Additionals++
		}
	}
}

// serverName returns the name of a server in wire format. Services have theirs in the primary zone.
func (c *composer) serverName(s server) []byte {
	if s.service == (model.Ref{}) {
		return append([]byte(wireServer), c.zone...)
	}
	t := target{endpoint: []byte(s.endpoint), service: s.service, zone: c.zone}
	if c.request.origin.reverse {
		t.zone = c.zones.primary
	}
	return t.append(nil)
}
