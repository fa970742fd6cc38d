package route

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Diversion has packets with a mark delivered to this host, whatever address they are for: a rule that looks them up in a
// table of its own, where everything is local (ip-rule(8)).
type Diversion struct {
	// Mark is a bit of the packet mark.
	Mark uint32
	// Table is the number of the routing table, Priority that of the rule. Nobody else uses either.
	Table, Priority int
}

// Divert makes sure that the rule and the route are there for both families, and reports whether they were not. A family
// that the kernel does not have is left out.
func (h *Host) Divert(d Diversion) (changed bool, err error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		c, err := h.divert(d, family)
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		if err != nil {
			return changed, fmt.Errorf("route packets with mark %#x to this host: %w", d.Mark, err)
		}
		changed = changed || c
	}
	return changed, nil
}

func (h *Host) divert(d Diversion, family int) (changed bool, err error) {
	there, stale, err := h.divertRules(d, family)
	if err != nil {
		return false, err
	}
	routed, err := h.divertRoutes(d, family)
	if err != nil {
		return false, err
	}
	if !routed {
		changed = true
		if err := h.addDivertRoute(d, family); err != nil {
			return changed, err
		}
	}
	if !there {
		changed = true
		mask := d.Mark
		rule := netlink.NewRule()
		rule.Family, rule.Table, rule.Priority, rule.Mark, rule.Mask = family, d.Table, d.Priority, d.Mark, &mask
		rule.Protocol = ProtocolSwitchyard
		if err := h.handle.RuleAdd(rule); err != nil && !errors.Is(err, unix.EEXIST) {
			return changed, err
		}
	}
	for i := range stale {
		changed = true
		if err := h.handle.RuleDel(&stale[i]); err != nil && !errors.Is(err, unix.ENOENT) {
			return changed, err
		}
	}
	return changed, nil
}

// Diverts reports whether the rule and the route are there, for all families that the kernel has.
func (h *Host) Diverts(d Diversion) (bool, error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		there, stale, err := h.divertRules(d, family)
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		if err != nil || !there || len(stale) > 0 {
			return false, err
		}
		if routed, err := h.divertRoutes(d, family); err != nil || !routed {
			return false, err
		}
	}
	return true, nil
}

// Undivert removes the rules of the priority and the table's routes; it is idempotent.
func (h *Host) Undivert(d Diversion) error {
	d.Mark = 0 // so that every rule is stale
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		_, stale, err := h.divertRules(d, family)
		for i := range stale {
			if e := h.handle.RuleDel(&stale[i]); e != nil && !errors.Is(e, unix.ENOENT) {
				err = errors.Join(err, e)
			}
		}
		routed, e := h.divertRoutes(d, family)
		if e == nil && routed {
			e = h.deleteDivertRoute(d, family)
		}
		if err = errors.Join(err, e); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("stop routing marked packets to this host: %w", err)
		}
	}
	return nil
}

// divertRules looks for the rule among those of its priority; stale are the others there.
func (h *Host) divertRules(d Diversion, family int) (there bool, stale []netlink.Rule, err error) {
	rules, err := h.handle.RuleList(family)
	if err != nil {
		return false, nil, err
	}
	for _, r := range rules {
		if r.Priority != d.Priority {
			continue
		}
		r.Family = family
		if !there && r.Table == d.Table && r.Mark == d.Mark && d.Mark != 0 && r.Mask != nil && *r.Mask == d.Mark {
			there = true
		} else {
			stale = append(stale, r)
		}
	}
	return there, stale, nil
}

// divertRoutes reports whether the table has the route.
func (h *Host) divertRoutes(d Diversion, family int) (bool, error) {
	filter := &netlink.Route{Table: d.Table, Type: unix.RTN_LOCAL}
	routes, err := h.handle.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
	return len(routes) > 0, err
}

func (h *Host) divertRoute(d Diversion, family int) (*netlink.Route, error) {
	lo, err := h.handle.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	everything := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	if family == netlink.FAMILY_V6 {
		everything = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	return &netlink.Route{
		Family: family, Table: d.Table, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, LinkIndex: lo.Attrs().Index,
		Dst: everything, Protocol: ProtocolSwitchyard,
	}, nil
}

func (h *Host) addDivertRoute(d Diversion, family int) error {
	r, err := h.divertRoute(d, family)
	if err != nil {
		return err
	}
	return h.handle.RouteReplace(r)
}

func (h *Host) deleteDivertRoute(d Diversion, family int) error {
	r, err := h.divertRoute(d, family)
	if err != nil {
		return err
	}
	if err := h.handle.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}
