package iptables

import (
	"math/bits"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// entries returns a Service's entries of the trees of addresses and of node ports.
func (r *renderer) entries(s *plan.Service) (addresses, ports []entry) {
	for _, a := range s.ClusterIPs {
		if model.FamilyOf(a) == r.family {
			addresses = append(addresses, entry{addressKey(a), 0, s, wholeAddress})
		}
	}
	for i := range s.Frontends {
		f := &s.Frontends[i]
		switch {
		case !r.serves(f):
		case f.Key.AnyNode():
			ports = append(ports, entry{portKey(f.Key), 0, s, int16(i)})
		default:
			minor := uint32(f.Key.Protocol)<<16 | uint32(f.Key.Port)
			addresses = append(addresses, entry{addressKey(f.Key.Addr), minor, s, int16(i)})
		}
	}
	return addresses, ports
}

// eachLocal visits the local endpoints of a Service, each as often as it is in a pool.
func (r *renderer) eachLocal(s *plan.Service, visit func(netip.Addr)) {
	for i := range s.Pools {
		if s.Pools[i].Family != r.family {
			continue
		}
		for _, e := range s.Pools[i].Endpoints {
			if e.Local {
				visit(e.Addr.Addr().Unmap())
			}
		}
	}
}

// masqueraded returns how an entry's packets are masqueraded; any is true where it does not matter.
func (e *entry) masqueraded() (m plan.Masquerade, any bool) {
	f := e.frontend()
	if f == nil || !forwards(e.service, f) {
		return plan.MasqueradeNever, true
	}
	return f.Masquerade, false
}

// offCluster reports whether all of a node's entries are masqueraded for clients that are not pods of this node (or do
// not care), so that one rule can mark for them all; some is false if none is.
func (t *tree) offCluster(n node) (all, some bool) {
	for i := n.lo; i < n.hi; i++ {
		m, any := t.entries[i].masqueraded()
		if !any && m != plan.MasqueradeOffCluster {
			return false, some
		}
		some = some || !any
	}
	return true, some
}

// renderNode writes the rules of a chain of a tree.
func (r *renderer) renderNode(t *text, tr *tree, n node) {
	chain := tr.name(n)
	children := tr.children(n)
	if tr.kind == hairpinNode {
		r.hairpinNode(t, tr, n, chain, children)
		return
	}
	// Where all below is masqueraded alike, a rule above has marked the packet already.
	marked := false
	if n.bits > 0 {
		marked, _ = tr.offCluster(n)
	}
	if children == nil {
		r.dispatch(t, tr, n, chain, marked)
	}
	for _, c := range children {
		if tr.inline(c) {
			r.dispatch(t, tr, c, chain, marked)
			continue
		}
		match := tr.match(c)
		if all, some := tr.offCluster(c); all && some && !marked {
			t.rule(chain, match, jump(offCluster))
			t.rule(chain, match, jump(tr.name(c)))
			t.rule(chain, match, jump(unmark))
			continue
		}
		t.rule(chain, match, goTo(tr.name(c)))
	}
}

// dispatch writes a rule for each entry of a node, or more where the packet is to be marked for masquerading.
func (r *renderer) dispatch(t *text, tr *tree, n node, chain string, marked bool) {
	var clusterIPs []netip.Addr
	for i := n.lo; i < n.hi; i++ {
		e := &tr.entries[i]
		f := e.frontend()
		if f == nil {
			a, _ := netip.AddrFromSlice([]byte(e.key))
			clusterIPs = append(clusterIPs, a)
			continue
		}
		match, next := r.frontendMatch(e.service, f), target(e.service, f)
		switch m, any := e.masqueraded(); {
		case any:
		case m == plan.MasqueradeAlways:
			t.rule(chain, match, jump(mark))
		case m == plan.MasqueradeOffCluster && !marked:
			t.rule(chain, match, jump(offCluster))
		}
		t.rule(chain, match, goTo(next))
	}
	for _, p := range cover(clusterIPs) {
		t.rule(chain, to(p), goTo(refuse))
	}
}

// frontendMatch matches a frontend's packets, and names it for people.
func (r *renderer) frontendMatch(s *plan.Service, f *plan.Frontend) string {
	match := ""
	if !f.Key.AnyNode() {
		match = to(single(f.Key.Addr.Unmap())) + " "
	}
	name := frontendName(s, f)
	if !forwards(s, f) {
		name += " has no endpoints"
		if f.Verdict == plan.Drop {
			name += " here"
		}
	}
	p := f.Key.Protocol
	return match + ofProtocol(p) + " " + comment(name) + " " + toPorts(p, f.Key.Port, f.Key.Port)
}

// hairpinNode masquerades pods that reach themselves.
func (r *renderer) hairpinNode(t *text, tr *tree, n node, chain string, children []node) {
	self := func(n node) {
		for i := n.lo; i < n.hi; i++ {
			a, _ := netip.AddrFromSlice([]byte(tr.entries[i].key))
			t.rule(chain, from(single(a)), to(single(a)), "-j MASQUERADE --random-fully")
		}
	}
	if children == nil {
		self(n)
	}
	for _, c := range children {
		if tr.inline(c) {
			self(c)
		} else {
			t.rule(chain, tr.match(c), goTo(tr.name(c)))
		}
	}
}

// cover returns the fewest networks that hold exactly the addresses, which are in order.
func cover(addrs []netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for len(addrs) > 0 {
		n := run(addrs)
		out = append(out, netip.PrefixFrom(addrs[0], addrs[0].BitLen()-bits.TrailingZeros(uint(n))))
		for a := addrs[n-1]; len(addrs) > 0 && !a.Less(addrs[0]); {
			addrs = addrs[1:] // repeated ones too
		}
	}
	return out
}

// run returns the size of the largest network that begins with the first address and whose addresses all follow.
func run(addrs []netip.Addr) int {
	size := 1
	for ; ; size *= 2 {
		wanted := 2 * size
		if wanted > len(addrs) || netip.PrefixFrom(addrs[0], addrs[0].BitLen()-bits.TrailingZeros(uint(wanted))).Masked().Addr() != addrs[0] {
			return size
		}
		next := addrs[0]
		for i := 1; i < wanted; i++ {
			if next = next.Next(); addrs[i] != next {
				return size
			}
		}
	}
}
