package route

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// SetLocal makes these addresses, and of those that it made so before no others, addresses of this host, by routes of the table
// local on the loopback interface: a server can be bound to them. No interface has them. What the host itself sends to them keeps an
// address of an interface as its source, as it may be translated and leave.
func (h *Host) SetLocal(addrs []netip.Addr) error {
	lo, err := h.handle.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	if len(addrs) > 0 && lo.Attrs().Flags&net.FlagUp == 0 {
		return errors.New("the loopback interface is down")
	}
	var errs []error
	filter := &netlink.Route{Table: unix.RT_TABLE_LOCAL, Protocol: ProtocolSwitchyard}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := h.handle.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
		errs = append(errs, err)
		for _, r := range routes {
			if prefix, ok := prefixOf(r.Dst); ok && !slices.Contains(addrs, prefix.Addr()) {
				errs = append(errs, h.handle.RouteDel(&r))
			}
		}
	}
	for _, addr := range addrs {
		r := &netlink.Route{
			Dst:       &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())},
			LinkIndex: lo.Attrs().Index, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, Protocol: ProtocolSwitchyard,
			Src: h.source(addr),
		}
		if err := h.handle.RouteReplace(r); err != nil {
			errs = append(errs, fmt.Errorf("make %s an address of this host: %w", addr, err))
		}
	}
	return errors.Join(errs...)
}

// source returns an address of an interface, of the family of addr, from which the host itself asks for addr; nil: the kernel's
// choice, which would be addr.
func (h *Host) source(addr netip.Addr) net.IP {
	family := netlink.FAMILY_V4
	if addr.Is6() {
		family = netlink.FAMILY_V6
	}
	list, err := h.handle.AddrList(nil, family)
	if err != nil {
		return nil
	}
	for _, a := range list {
		if a.Scope == unix.RT_SCOPE_UNIVERSE && !a.IP.IsLoopback() {
			return a.IP
		}
	}
	return nil
}
