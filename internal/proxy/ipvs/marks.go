package ipvs

import (
	"math/bits"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/model"
)

// layout is how the 32 bits of a packet's mark are used for the first packet of a connection to a frontend:
//
//	route        1 bit    the packet is delivered to this node, whose IPVS takes it; in the mark of connections too
//	masquerade   1 bit    plan.Node.MasqueradeBit; in the mark of connections too
//	here         1 bit    clients on this node have another pool
//	sources      1 bit    only some clients may
//	offCluster   1 bit    masquerade unless the client is a pod of this node
//	port         6 bits   the number of the port that the destination port becomes before IPVS (see affinityPorts); 0: none
//	id          21 bits   the pool, or one of the verdicts
//
// A virtual server goes by route, port and id. The further packets of a connection bear the route bit only, and all else
// of their mark is left as it is.
type layout struct{ route, masquerade, here, sources, offCluster, port, id uint32 }

// The widths of fields, and the ids that are no pools.
const (
	portBits = 6
	idBits   = 21

	idReject = 1
	idDrop   = 2
	idPools  = 16 // the first
)

// newLayout returns the layout around the bit that asks for masquerading. The route bit is the next one.
func newLayout(masqueradeBit uint8) layout {
	l := layout{masquerade: 1 << masqueradeBit, route: bits.RotateLeft32(1<<masqueradeBit, 1)}
	l.here, l.sources, l.offCluster = l.place(1<<29), l.place(1<<28), l.place(1<<27)
	l.port, l.id = l.place((1<<portBits-1)<<idBits), l.place(1<<idBits-1)
	return l
}

// place spreads the lower 30 bits of a number over those that are neither route nor masquerade.
func (l layout) place(v uint32) uint32 {
	low, high := min(l.route, l.masquerade), max(l.route, l.masquerade)
	for _, bit := range []uint32{low, high} {
		v = v&^(bit-1)<<1 | v&(bit-1)
	}
	return v
}

// mark returns the mark of a virtual server or of a verdict.
func (l layout) mark(id, port uint32) uint32 { return l.route | l.place(port<<idBits|id) }

// refused is the mark of packets that are to be answered by an error. They are not delivered to this node, so that it
// lacks the route bit; that no other program gives packets all the others is as good as certain.
func (l layout) refused() uint32 { return ^l.route }

// serverMask is the part of a mark that a virtual server goes by.
func (l layout) serverMask() uint32 { return l.route | l.port | l.id }

// poolKey names a pool of one family.
type poolKey struct {
	service  model.Ref
	port     string
	protocol model.Protocol
	local    bool
}

// numbers gives pools the ids that they keep as long as the kernel has their virtual server.
type numbers struct {
	ids  map[poolKey]uint32
	used map[uint32]poolKey
	next uint32
}

func newNumbers() *numbers {
	return &numbers{ids: map[poolKey]uint32{}, used: map[uint32]poolKey{}, next: idPools}
}

// adopt gives a pool an id that it had in an earlier life of the process, unless one of them has another by now.
func (n *numbers) adopt(k poolKey, id uint32) {
	_, has := n.ids[k]
	_, taken := n.used[id]
	if !has && !taken && id >= idPools {
		n.ids[k], n.used[id] = id, k
	}
}

// reserve keeps an id from being given out: the kernel still has a virtual server of it.
func (n *numbers) reserve(id uint32) {
	if _, taken := n.used[id]; !taken {
		n.used[id] = poolKey{}
	}
}

// of returns the id of a pool.
func (n *numbers) of(k poolKey) uint32 {
	if id, ok := n.ids[k]; ok {
		return id
	}
	for {
		id := n.next
		if n.next++; n.next >= 1<<idBits {
			n.next = idPools
		}
		if _, taken := n.used[id]; !taken {
			n.ids[k], n.used[id] = id, k
			return id
		}
	}
}

// release gives an id back.
func (n *numbers) release(id uint32) {
	if k, ok := n.used[id]; ok && n.ids[k] == id {
		delete(n.ids, k)
	}
	delete(n.used, id)
}

// collect takes the bits of a mark that place put there back together.
func (l layout) collect(mark uint32) uint32 {
	low, high := min(l.route, l.masquerade), max(l.route, l.masquerade)
	for _, bit := range []uint32{high, low} {
		mark = mark>>1&^(bit-1) | mark&(bit-1)
	}
	return mark
}

// idOf returns the id in a mark.
func (l layout) idOf(mark uint32) uint32 { return l.collect(mark) & (1<<idBits - 1) }

// affinityPorts numbers the ports of endpoints that remember their clients. IPVS remembers for all addresses of a Service
// port in common only where virtual servers go by mark, but then it leaves the destination port as it is: so that has
// to be right before. Few ports are in use, as a rule, however many Services.
type affinityPorts struct{ numbers map[uint16]uint32 }

// maxAffinityPorts is how many ports have numbers.
const maxAffinityPorts = 1<<portBits - 1

// isFull reports whether it is time to begin anew, without ports that are not in use any more.
func (a *affinityPorts) isFull() bool { return a == nil || len(a.numbers) >= maxAffinityPorts }

// lacks reports whether a port has no number and gets none: port 0, and those that are too many.
func (a *affinityPorts) lacks(port uint16) bool {
	return port == 0 || a.numbers[port] == 0 && len(a.numbers) >= maxAffinityPorts
}

// of returns the number of a port, 1 to 63; 0: it gets none.
func (a *affinityPorts) of(port uint16) uint32 {
	if n, ok := a.numbers[port]; ok || a.lacks(port) {
		return n
	}
	taken := map[uint32]bool{}
	for _, n := range a.numbers {
		taken[n] = true
	}
	n := uint32(port)%maxAffinityPorts + 1
	for taken[n] {
		n = n%maxAffinityPorts + 1
	}
	a.numbers[port] = n
	return n
}

// networks returns the prefixes that stand for a network in an ipset, which has none of length 0.
func networks(p netip.Prefix) []netip.Prefix {
	if p.Bits() > 0 {
		return []netip.Prefix{p}
	}
	half := netip.MustParseAddr("128.0.0.0")
	if p.Addr().Is6() {
		half = netip.MustParseAddr("8000::")
	}
	return []netip.Prefix{netip.PrefixFrom(p.Addr(), 1), netip.PrefixFrom(half, 1)}
}

// single returns an address as a network.
func single(a netip.Addr) netip.Prefix { a = a.Unmap(); return netip.PrefixFrom(a, a.BitLen()) }
