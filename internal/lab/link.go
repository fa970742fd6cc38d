package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// End is one end of a veth pair.
type End struct {
	// Name of the interface, at most 15 bytes. Empty: "eth0".
	Name string
	// Addresses of the interface, with the length of their on-link prefix.
	Addresses []netip.Prefix
}

// name returns the interface's name, with the default filled in.
func (e End) name() string {
	if e.Name == "" {
		return "eth0"
	}
	return e.Name
}

// LinkOptions describes a veth pair.
type LinkOptions struct {
	A, B End
	// MTU in bytes of both ends. 0: the kernel's default, 1500.
	MTU int
}

// Link joins two namespaces with a veth pair whose ends are up and have their addresses.
func Link(a, b *Namespace, o LinkOptions) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = o.A.name()
	attrs.MTU = o.MTU
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: o.B.name(), PeerNamespace: netlink.NsFd(b.FD())}
	if o.MTU != 0 {
		veth.PeerMTU = uint32(o.MTU)
	}
	if err := a.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("make veth %s in %s with peer %s in %s: %w", o.A.name(), a.name, o.B.name(), b.name, err)
	}
	return errors.Join(a.configure(o.A), b.configure(o.B))
}

// configure adds the addresses of an end and brings it up.
func (n *Namespace) configure(e End) error {
	for _, address := range e.Addresses {
		if err := n.AddAddress(e.name(), address); err != nil {
			return err
		}
	}
	return n.SetUp(e.name())
}

// AddAddress gives an interface an address, without duplicate address detection. One that is there already is success.
func (n *Namespace) AddAddress(ifname string, address netip.Prefix) error {
	link, err := n.nl.LinkByName(ifname)
	if err != nil {
		return fmt.Errorf("find interface %s in %s: %w", ifname, n.name, err)
	}
	addr := &netlink.Addr{IPNet: ipNet(address)}
	if address.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := n.nl.AddrAdd(link, addr); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("add address %s to %s in %s: %w", address, ifname, n.name, err)
	}
	return nil
}

// DeleteAddress takes an address from an interface.
func (n *Namespace) DeleteAddress(ifname string, address netip.Prefix) error {
	link, err := n.nl.LinkByName(ifname)
	if err != nil {
		return fmt.Errorf("find interface %s in %s: %w", ifname, n.name, err)
	}
	if err := n.nl.AddrDel(link, &netlink.Addr{IPNet: ipNet(address)}); err != nil {
		return fmt.Errorf("delete address %s of %s in %s: %w", address, ifname, n.name, err)
	}
	return nil
}

// SetUp brings an interface up.
func (n *Namespace) SetUp(ifname string) error {
	link, err := n.nl.LinkByName(ifname)
	if err != nil {
		return fmt.Errorf("find interface %s in %s: %w", ifname, n.name, err)
	}
	if err := n.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring interface %s in %s up: %w", ifname, n.name, err)
	}
	return nil
}

// AddDummy makes a dummy interface that is up and has the addresses.
func (n *Namespace) AddDummy(ifname string, addresses ...netip.Prefix) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = ifname
	if err := n.nl.LinkAdd(&netlink.Dummy{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("make dummy %s in %s: %w", ifname, n.name, err)
	}
	return n.configure(End{Name: ifname, Addresses: addresses})
}

// AddRoute routes dst through a neighbour, replacing a route to the same prefix.
func (n *Namespace) AddRoute(dst netip.Prefix, via netip.Addr) error {
	route := &netlink.Route{Dst: ipNet(dst), Gw: via.AsSlice()}
	if err := n.nl.RouteReplace(route); err != nil {
		return fmt.Errorf("route %s via %s in %s: %w", dst, via, n.name, err)
	}
	return nil
}

// AddLinkRoute routes dst to an interface, on which its addresses are neighbours.
func (n *Namespace) AddLinkRoute(dst netip.Prefix, ifname string) error {
	link, err := n.nl.LinkByName(ifname)
	if err != nil {
		return fmt.Errorf("find interface %s in %s: %w", ifname, n.name, err)
	}
	route := &netlink.Route{Dst: ipNet(dst), LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK}
	if err := n.nl.RouteReplace(route); err != nil {
		return fmt.Errorf("route %s to %s in %s: %w", dst, ifname, n.name, err)
	}
	return nil
}

// AddDefaultRoute routes everything of via's family through it.
func (n *Namespace) AddDefaultRoute(via netip.Addr) error {
	if via.Is4() {
		return n.AddRoute(netip.PrefixFrom(netip.IPv4Unspecified(), 0), via)
	}
	return n.AddRoute(netip.PrefixFrom(netip.IPv6Unspecified(), 0), via)
}

// ipNet converts a prefix, keeping its host part.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
