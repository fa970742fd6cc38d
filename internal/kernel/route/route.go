// Package route reads the networks that a host is part of: its addresses and its routes, over rtnetlink (rtnetlink(7)).
package route

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ProtocolSwitchyard marks, as rtm_protocol (linux/rtnetlink.h), the routes that Switchyard itself makes.
const ProtocolSwitchyard = 83

// Network is a network that the host reaches.
type Network struct {
	Prefix netip.Prefix
	// Interface is the device it is behind; empty: none (a blackhole and the like).
	Interface string
	// Kind is the type of the device as `ip link` names it ("bridge", "dummy", "veth", "vxlan"), "device" for hardware.
	Kind string
	// Address is true for a network of an address of the interface, false for a route.
	Address bool
	// Protocol says who made a route (rtm_protocol); 0 for addresses.
	Protocol int
}

// Host is the network configuration of one network namespace. It is safe for concurrent use.
type Host struct {
	handle *netlink.Handle
	ns     netns.NsHandle
}

// Open returns the configuration of the calling thread's network namespace.
func Open() (*Host, error) {
	ns, err := netns.Get()
	if err != nil {
		return nil, fmt.Errorf("open this network namespace: %w", err)
	}
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		_ = ns.Close()
		return nil, fmt.Errorf("open a route netlink socket: %w", err)
	}
	return &Host{handle: handle, ns: ns}, nil
}

// Close releases the handles.
func (h *Host) Close() error {
	h.handle.Close()
	return h.ns.Close()
}

// Addrs returns the host's own addresses on all interfaces, loopback included, in order.
func (h *Host) Addrs() ([]netip.Addr, error) {
	list, err := h.handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses of this host: %w", err)
	}
	var out []netip.Addr
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			out = append(out, addr.Unmap())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out), nil
}

// Networks returns the networks of the host's addresses and of its unicast routes in all tables, those of the kernel's
// own table of local addresses left out.
func (h *Host) Networks() ([]Network, error) {
	links, err := h.links()
	if err != nil {
		return nil, err
	}
	addresses, err := h.handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses of this host: %w", err)
	}
	var out []Network
	for _, a := range addresses {
		if prefix, ok := prefixOf(a.IPNet); ok {
			link := links[a.LinkIndex]
			out = append(out, Network{Prefix: prefix, Interface: link.name, Kind: link.kind, Address: true})
		}
	}
	filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC, Type: unix.RTN_UNICAST}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := h.handle.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
		if err != nil {
			return nil, fmt.Errorf("list the routes of this host: %w", err)
		}
		for _, r := range routes {
			prefix, ok := prefixOf(r.Dst)
			if !ok || r.Table == unix.RT_TABLE_LOCAL {
				continue
			}
			link := links[linkOf(r)]
			out = append(out, Network{Prefix: prefix, Interface: link.name, Kind: link.kind, Protocol: int(r.Protocol)})
		}
	}
	return out, nil
}

// WatchAddrs calls changed each time an address of the host was added or removed, until done is closed.
func (h *Host) WatchAddrs(done <-chan struct{}, changed func()) error {
	updates := make(chan netlink.AddrUpdate)
	if err := netlink.AddrSubscribeWithOptions(updates, done, netlink.AddrSubscribeOptions{Namespace: &h.ns}); err != nil {
		return fmt.Errorf("watch the addresses of this host: %w", err)
	}
	for range updates {
		changed()
	}
	return nil
}

// link is what Networks says of an interface.
type link struct{ name, kind string }

func (h *Host) links() (map[int]link, error) {
	list, err := h.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces of this host: %w", err)
	}
	out := map[int]link{}
	for _, l := range list {
		out[l.Attrs().Index] = link{l.Attrs().Name, l.Type()}
	}
	return out, nil
}

// linkOf returns the interface of a route, of one with several the first.
func linkOf(r netlink.Route) int {
	if r.LinkIndex == 0 && len(r.MultiPath) > 0 {
		return r.MultiPath[0].LinkIndex
	}
	return r.LinkIndex
}

// prefixOf returns the network that an address with a mask is in.
func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	if !ok {
		return netip.Prefix{}, false
	}
	if addr.Is4In6() && len(n.Mask) == net.IPv4len {
		addr = addr.Unmap()
	}
	prefix, err := addr.Prefix(ones)
	return prefix, err == nil
}
