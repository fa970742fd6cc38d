package plan

import (
	"net/netip"
	"slices"

	"github.com/switchyard-net/switchyard/internal/model"
)

// BuildNode decides the part of the plan that is the same for all Services.
func BuildNode(n NodeView, cidrs []*model.ServiceCIDR) Node {
	return Node{
		NodePorts:     nodePortAddresses(n),
		LocalPods:     n.localPods(),
		ServiceCIDRs:  serviceCIDRs(cidrs),
		LocalAddrs:    sorted(n.Addrs),
		MasqueradeBit: n.Config.MasqueradeBit,
		DropInvalid:   n.Config.DropInvalid,
	}
}

// serviceCIDRs returns the ranges in order, each once.
func serviceCIDRs(cidrs []*model.ServiceCIDR) []netip.Prefix {
	var all []netip.Prefix
	for _, c := range cidrs {
		for _, p := range c.Prefixes {
			all = append(all, p.Masked())
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all)
}

// nodePortAddresses resolves the selection to addresses, unless it names all of both families.
func nodePortAddresses(n NodeView) NodePortAddresses {
	v4, v6 := n.nodePortRule(model.IPv4), n.nodePortRule(model.IPv6)
	var out NodePortAddresses
	out.AnyLocal = v4.all && v6.all
	out.Addrs = append(v4.addresses(n.Addrs), v6.addresses(n.Addrs)...)
	if out.AnyLocal {
		out.Addrs = slices.DeleteFunc(out.Addrs, func(a netip.Addr) bool { return !a.IsLoopback() })
	}
	if n.Config.NodePorts.Localhost {
		out.Addrs = append(out.Addrs, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())
	}
	out.Addrs = sorted(out.Addrs)
	return out
}

// nodePortRule is the selection for one family.
type nodePortRule struct {
	family   model.Family
	all      bool
	prefixes []netip.Prefix
	primary  netip.Addr // zero: none
}

func (n NodeView) nodePortRule(f model.Family) nodePortRule {
	s := n.Config.NodePorts
	r := nodePortRule{family: f, all: s.All}
	for _, p := range s.Prefixes {
		if model.FamilyOf(p.Addr()) == f {
			r.prefixes = append(r.prefixes, p)
			r.all = r.all || p.Bits() == 0
		}
	}
	if s.Primary {
		r.primary = n.primary(f)
	} else if len(r.prefixes) == 0 && !s.Localhost {
		r.all = true
	}
	return r
}

// addresses returns those of the node's own addresses that the rule selects. A primary address is taken at its word,
// and a loopback address only if a network of loopback addresses is named.
func (r nodePortRule) addresses(own []netip.Addr) []netip.Addr {
	var out []netip.Addr
	if r.primary.IsValid() {
		out = append(out, r.primary)
	}
	for _, a := range own {
		a = a.Unmap().WithZone("")
		if model.FamilyOf(a) != r.family {
			continue
		}
		named := slices.ContainsFunc(r.prefixes, func(p netip.Prefix) bool {
			return p.Contains(a) && a.IsLoopback() == p.Addr().IsLoopback()
		})
		if named || r.all && !a.IsLoopback() {
			out = append(out, a)
		}
	}
	return out
}

// sorted returns the addresses in order, each once, without zones.
func sorted(addrs []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, a.Unmap().WithZone(""))
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
