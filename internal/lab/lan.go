package lab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// bridgeName is the bridge's interface in the LAN's own namespace.
const bridgeName = "br0"

// LAN is a shared Ethernet segment: a bridge in a namespace of its own, without an address there unless Route gives it one.
type LAN struct {
	namespace *Namespace
	mtu       int
}

// NewLAN makes a segment in a new namespace of that name. mtu is in bytes, 0 the kernel's default of 1500.
func (l *Lab) NewLAN(name string, mtu int) (*LAN, error) {
	ns, err := l.NewNamespace(name)
	if err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridgeName
	attrs.MTU = mtu
	// Without a querier on the segment, snooping would in time cut off the multicast that neighbour discovery needs.
	snooping := false
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := ns.nl.LinkAdd(bridge); err != nil {
		return nil, fmt.Errorf("make bridge %s in %s: %w", bridgeName, name, err)
	}
	if err := ns.SetUp(bridgeName); err != nil {
		return nil, err
	}
	return &LAN{namespace: ns, mtu: mtu}, nil
}

// Namespace returns the namespace that holds the bridge.
func (l *LAN) Namespace() *Namespace { return l.namespace }

// Join connects a namespace to the segment by an interface that is up and has the addresses.
func (l *LAN) Join(ns *Namespace, ifname string, addresses ...netip.Prefix) error {
	port := l.namespace.lab.nextPort()
	end := End{Name: ifname, Addresses: addresses}
	if err := Link(l.namespace, ns, LinkOptions{A: End{Name: port}, B: end, MTU: l.mtu}); err != nil {
		return err
	}
	bridge, err := l.namespace.nl.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("find bridge %s in %s: %w", bridgeName, l.namespace.name, err)
	}
	link, err := l.namespace.nl.LinkByName(port)
	if err != nil {
		return fmt.Errorf("find port %s in %s: %w", port, l.namespace.name, err)
	}
	if err := l.namespace.nl.LinkSetMaster(link, bridge); err != nil {
		return fmt.Errorf("join %s to the bridge of %s: %w", ns.name, l.namespace.name, err)
	}
	return nil
}

// Route makes the segment's own namespace a router with these addresses on the segment: hosts that have it as their
// default route are told at once that it knows no way to anywhere else.
func (l *LAN) Route(addresses ...netip.Prefix) error {
	for _, address := range addresses {
		if err := l.namespace.AddAddress(bridgeName, address); err != nil {
			return err
		}
	}
	for _, key := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		if err := l.namespace.SetSysctl(key, "1"); err != nil {
			return err
		}
	}
	return nil
}

// nextPort returns a name for a bridge port that no other of this lab has.
func (l *Lab) nextPort() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sequence++
	return fmt.Sprintf("port%d", l.sequence)
}
