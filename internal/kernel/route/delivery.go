package route

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/model"
)

// deliveryTable is the routing table in which every address is the host's own, and deliveryRule the priority of the
// first of the rules that lead there: after that of the table of local addresses, before those of most programs.
const (
	deliveryTable = ProtocolSwitchyard
	deliveryRule  = ProtocolSwitchyard
)

// DeliverMarked has the host take packets that arrive with any of the bits in mark for its own, whatever address they go
// to: as if it had all addresses, but for those packets only. What the host itself sends is routed as before, as is
// the check of sources (rp_filter), with src_valid_mark too. It reports whether anything had to be changed.
func (h *Host) DeliverMarked(f model.Family, mark uint32) (changed bool, err error) {
	table := localRoute(f, h.loopback())
	if err := h.handle.RouteAdd(table); err == nil {
		changed = true
	} else if !errors.Is(err, os.ErrExist) {
		return changed, fmt.Errorf("add a local route for all %s addresses to table %d: %w", f, deliveryTable, err)
	}
	have, err := h.deliveryRules(f)
	if err != nil {
		return changed, err
	}
	for _, want := range wantedRules(f, mark) {
		if n, ok := findRule(have, want); ok {
			have = append(have[:n], have[n+1:]...)
			continue
		}
		if err := h.handle.RuleAdd(&want); err != nil {
			return changed, fmt.Errorf("add a routing rule (ip rule) of priority %d: %w", want.Priority, err)
		}
		changed = true
	}
	for i := range have {
		if err := h.handle.RuleDel(&have[i]); err != nil {
			return changed, fmt.Errorf("delete a routing rule (ip rule) of priority %d: %w", have[i].Priority, err)
		}
		changed = true
	}
	return changed, nil
}

// Delivered returns the mark that DeliverMarked was called with; 0: it was not, or the host does not have the family.
func (h *Host) Delivered(f model.Family) (mark uint32, err error) {
	have, err := h.deliveryRules(f)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return 0, nil
	}
	for _, r := range have {
		mark = r.Mark
	}
	return mark, err
}

// DeliverNone undoes DeliverMarked. It is idempotent, and nothing where the host does not have the family.
func (h *Host) DeliverNone(f model.Family) error {
	have, err := h.deliveryRules(f)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range have {
		if err := h.handle.RuleDel(&have[i]); err != nil {
			return fmt.Errorf("delete a routing rule (ip rule) of priority %d: %w", have[i].Priority, err)
		}
	}
	err = h.handle.RouteDel(localRoute(f, h.loopback()))
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete the local route for all %s addresses from table %d: %w", f, deliveryTable, err)
	}
	return nil
}

// loopback returns the index of the loopback device, which is the first one of every namespace.
func (h *Host) loopback() int {
	if lo, err := h.handle.LinkByName("lo"); err == nil {
		return lo.Attrs().Index
	}
	return 1
}

func localRoute(f model.Family, loopback int) *netlink.Route {
	all := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	if f == model.IPv6 {
		all = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	return &netlink.Route{
		Family: family(f), Type: unix.RTN_LOCAL, Table: deliveryTable, Dst: all, LinkIndex: loopback,
		Scope: netlink.SCOPE_HOST, Protocol: ProtocolSwitchyard,
	}
}

// wantedRules returns the rules: what the host sends skips the second and goes on at the third, which does nothing.
func wantedRules(f model.Family, mark uint32) []netlink.Rule {
	mask := mark
	sent, arrived, rest := netlink.NewRule(), netlink.NewRule(), netlink.NewRule()
	for i, r := range []*netlink.Rule{sent, arrived, rest} {
		r.Family, r.Priority, r.Mark, r.Mask, r.Protocol = family(f), deliveryRule+i, mark, &mask, ProtocolSwitchyard
	}
	sent.IifName, sent.Goto = "lo", deliveryRule+2
	arrived.Table = deliveryTable
	rest.Type = unix.FR_ACT_NOP
	// The last comes first: the kernel warns of a rule that leads to none.
	return []netlink.Rule{*rest, *arrived, *sent}
}

// deliveryRules returns the rules of our priorities that we made.
func (h *Host) deliveryRules(f model.Family) ([]netlink.Rule, error) {
	all, err := h.handle.RuleList(family(f))
	if err != nil {
		return nil, fmt.Errorf("list the routing rules of %s: %w", f, err)
	}
	var ours []netlink.Rule
	for _, r := range all {
		if r.Protocol == ProtocolSwitchyard && r.Priority >= deliveryRule && r.Priority <= deliveryRule+2 {
			r.Family = family(f)
			ours = append(ours, r)
		}
	}
	return ours, nil
}

// findRule looks for a rule of the same priority, mark and way.
func findRule(have []netlink.Rule, want netlink.Rule) (int, bool) {
	for i, r := range have {
		if r.Priority == want.Priority && r.Mark == want.Mark && r.IifName == want.IifName {
			return i, true
		}
	}
	return 0, false
}

func family(f model.Family) int {
	if f == model.IPv6 {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}
