package iptables

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// The matches that only some Services need: without them, the others are served.
const (
	matchRecent = "recent"
	matchSCTP   = "sctp"
)

// routeLocalnet makes the kernel translate packets to loopback addresses (net/ipv4/route.c).
const routeLocalnet = "net.ipv4.conf.all.route_localnet"

// capability is something that the kernel and iptables must be able to do, with a rule that needs it. They are only
// tried to explain a failure.
type capability struct {
	name, table, rule string
	// option is what the kernel is built with to have it.
	option string
	// optional names the match of a capability that only some Services need.
	optional string
}

func (r rules) capabilities() []capability {
	list := []capability{
		{name: "the nat table", table: "nat", option: "CONFIG_IP_NF_NAT and CONFIG_IP6_NF_NAT"},
		{name: "the filter table", table: "filter", option: "CONFIG_IP_NF_FILTER and CONFIG_IP6_NF_FILTER"},
		{name: "DNAT", table: "nat", rule: "-p tcp -j DNAT --to-destination :1", option: "CONFIG_NETFILTER_XT_NAT"},
		{name: "MASQUERADE", table: "nat", rule: "-j MASQUERADE --random-fully", option: "CONFIG_NETFILTER_XT_TARGET_MASQUERADE"},
		{name: "MARK", table: "nat", rule: "-j MARK --set-xmark 0x1/0x1", option: "CONFIG_NETFILTER_XT_MARK"},
		{name: "REJECT", table: "filter", rule: r.reject(), option: "CONFIG_IP_NF_TARGET_REJECT and CONFIG_IP6_NF_TARGET_REJECT"},
		{name: "match statistic", table: "nat", rule: probability(2) + " -j RETURN", option: "CONFIG_NETFILTER_XT_MATCH_STATISTIC"},
		{name: "match conntrack", table: "nat", rule: "-m conntrack --ctstate DNAT -j RETURN", option: "CONFIG_NETFILTER_XT_MATCH_CONNTRACK"},
		{name: "match addrtype", table: "nat", rule: "-m addrtype --dst-type LOCAL -j RETURN", option: "CONFIG_NETFILTER_XT_MATCH_ADDRTYPE"},
		{name: "match comment", table: "nat", rule: comment("trial") + " -j RETURN", option: "CONFIG_NETFILTER_XT_MATCH_COMMENT"},
		{
			name: "match recent", table: "nat", option: "CONFIG_NETFILTER_XT_MATCH_RECENT", optional: matchRecent,
			rule: "-m recent --rcheck --seconds 1 --reap --name " + trial + " --rsource -j RETURN",
		},
		{
			name: "match sctp", table: "nat", option: "CONFIG_NETFILTER_XT_MATCH_SCTP", optional: matchSCTP,
			rule: "-p sctp -m sctp --dport 1 -j RETURN",
		},
	}
	return list
}

// try puts a capability's rule into a chain that nothing leads to, and takes it away again.
func (b *Backend) try(ctx context.Context, f *family, c capability) error {
	return b.kernel.Restore(ctx, f.model, func(w io.Writer) error {
		rule := ""
		if c.rule != "" {
			rule = "-A " + trial + " " + c.rule + "\n"
		}
		_, err := fmt.Fprintf(w, "*%[1]s\n:%[2]s - [0:0]\n%[3]sCOMMIT\n*%[1]s\n:%[2]s - [0:0]\n-X %[2]s\nCOMMIT\n", c.table, trial, rule)
		return err
	})
}

// Supported returns nil if iptables and the kernel can do what this mode needs for IPv4, as proxy.Prober describes. The
// kernel makes the tables when they are tried, and keeps them, empty.
func (b *Backend) Supported(ctx context.Context) error {
	for _, c := range (rules{family: model.IPv4}).capabilities() {
		if c.optional != "" {
			continue
		}
		if err := b.try(ctx, b.families[0], c); iptables.IsRefused(err) {
			return fmt.Errorf("%s of iptables is missing: use a kernel that is built with %s, and iptables >= 1.8 (%w)", c.name, c.option, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// explain finds out what the kernel lacks, after an error that may be due to that. It reports true if a new try makes
// sense, without a family or a match that this node does not have.
func (b *Backend) explain(ctx context.Context, err error) (again bool) {
	b.lacking = nil
	if !iptables.IsRefused(err) {
		return false
	}
	for _, f := range b.families {
		if f.missing {
			continue
		}
		for i, c := range (rules{family: f.model}).capabilities() {
			if f.without[c.optional] || !iptables.IsRefused(b.try(ctx, f, c)) {
				continue
			}
			if i == 0 && f.model == model.IPv6 && len(b.lacking) == 0 {
				f.missing, again = true, true
				break
			}
			if c.optional != "" {
				f.without[c.optional], again = true, true
				continue
			}
			b.lacking = append(b.lacking, plan.Unsupported{
				Capability:  fmt.Sprintf("%s of iptables (%s)", c.name, f.model),
				Consequence: "Services are not served by this node in the iptables mode",
				Remedy:      "use a kernel that is built with " + c.option + " and iptables >= 1.8, or choose another proxy mode",
			})
		}
	}
	return again && len(b.lacking) == 0
}

// followLoopback lets node ports be answered on loopback addresses, once the rule that guards them is there.
func (b *Backend) followLoopback(n plan.Node) {
	b.loopback = nil
	if (rules{model.IPv4, n}).routesLoopback() {
		b.loopback = b.sysctl.SetInt(routeLocalnet, 1)
	}
}

// unsupported returns all that a plan asks for and this node cannot do.
func (b *Backend) unsupported(p *plan.Plan) []plan.Unsupported {
	list := slices.Clone(b.lacking)
	for _, f := range b.families {
		if f.missing {
			list = append(list, plan.Unsupported{
				Capability:  "iptables for " + f.model.String(),
				Consequence: f.model.String() + " addresses of Services are not answered by this node",
				Remedy:      "boot without ipv6.disable=1, on a kernel with CONFIG_IP6_NF_NAT, and install ip6tables",
			})
			continue
		}
		list = append(list, f.lacks(p)...)
	}
	if b.fullLists > 0 {
		list = append(list, plan.Unsupported{
			Capability:  fmt.Sprintf("session affinity for more than %d clients of an endpoint", iptables.RecentLimit()),
			Consequence: "those that connected longest ago are forgotten, and sent to any endpoint",
			Remedy:      "load the kernel module xt_recent with a higher ip_list_tot, or choose the nftables mode",
		})
	}
	for _, a := range p.Node.NodePorts.Addrs {
		switch {
		case !a.IsLoopback():
		case a.Is6():
			list = append(list, withoutLoopback(a, "the kernel translates no packets to ::1"))
		case b.loopback != nil:
			list = append(list, withoutLoopback(a, b.loopback.Error()))
		}
	}
	return list
}

func withoutLoopback(a netip.Addr, why string) plan.Unsupported {
	return plan.Unsupported{
		Capability:  fmt.Sprintf("node ports on the loopback address %s", a),
		Consequence: "node ports are answered on this node's other addresses only: " + why,
		Remedy:      "take the address out of nodePortAddresses, and use another address of the node",
	}
}

// lacks returns what Services ask for and is left out for want of a match.
func (f *family) lacks(p *plan.Plan) []plan.Unsupported {
	if len(f.without) == 0 {
		return nil
	}
	var list []plan.Unsupported
	sticky := f.with(p, func(pool *plan.Pool) bool { return pool.Affinity > 0 })
	if len(sticky) > 0 && f.without[matchRecent] {
		list = append(list, plan.Unsupported{
			Capability:  fmt.Sprintf("session affinity in iptables (%s)", f.model),
			Consequence: "clients of these Services are sent to any endpoint",
			Remedy:      "use a kernel that is built with CONFIG_NETFILTER_XT_MATCH_RECENT", Services: sticky,
		})
	}
	if !f.without[matchSCTP] {
		return list
	}
	if sctp := f.with(p, func(pool *plan.Pool) bool { return pool.Protocol == model.SCTP }); len(sctp) > 0 {
		list = append(list, plan.Unsupported{
			Capability:  fmt.Sprintf("SCTP in iptables (%s)", f.model),
			Consequence: "SCTP ports of these Services are not answered by this node",
			Remedy:      "use a kernel that is built with CONFIG_NETFILTER_XT_MATCH_SCTP", Services: sctp,
		})
	}
	return list
}

// with returns the Services that have such a pool in this family, in order.
func (f *family) with(p *plan.Plan, such func(*plan.Pool) bool) []model.Ref {
	var refs []model.Ref
	for ref, s := range p.Services.All() {
		if slices.ContainsFunc(s.Pools, func(pool plan.Pool) bool { return pool.Family == f.model && such(&pool) }) {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, compareRefs)
	return refs
}
