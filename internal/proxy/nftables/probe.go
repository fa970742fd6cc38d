package nftables

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// capability is something that the kernel must be able to do, with the smallest rules that need it. They are only tried
// to explain a failure.
type capability struct {
	name   string
	remedy string
	hook   nft.Hook
	rule   func(r rules) nft.Rule
}

// capabilities returns what the backend needs, the most basic first.
func capabilities() []capability {
	pre := nft.Hook{Type: "nat", Number: nft.Prerouting, Priority: -100}
	post := nft.Hook{Type: "nat", Number: nft.Postrouting, Priority: 100}
	config := func(options string) string { return "use a kernel >= 5.13 that is built with " + options }
	return []capability{
		{"nat chains", config("CONFIG_NF_TABLES and CONFIG_NFT_NAT"), pre, func(rules) nft.Rule { return rule("", drop()) }},
		{"numgen in keys of maps", config("CONFIG_NFT_NUMGEN"), pre, func(r rules) nft.Rule { return r.spread("endpoints", false, 1)[0] }},
		{"masquerade", config("CONFIG_NFT_MASQ"), post, func(rules) nft.Rule { return rule("", exprs(nft.Masquerade())) }},
		{"reject before routing", config("CONFIG_NFT_REJECT"), pre, func(r rules) nft.Rule { return rule("", exprs(nft.Reject(r.family))) }},
		{"fib lookups", config("CONFIG_NFT_FIB_IPV4 and CONFIG_NFT_FIB_IPV6"), pre, func(rules) nft.Rule { return rule("", fromNode(), drop()) }},
		{"conntrack matches", config("CONFIG_NFT_CT"), post, func(r rules) nft.Rule { return r.learn()[0] }},
		{"maps that packets fill", config("CONFIG_NF_TABLES with dynamic sets"), post, func(r rules) nft.Rule { return r.remember(1, affinityTimeout) }},
	}
}

// handoverCapability is what handing over needs besides.
func handoverCapability() capability {
	return capability{
		"transparent proxying", "use a kernel >= 5.13 that is built with CONFIG_NFT_TPROXY and CONFIG_NF_CONNTRACK_MARK",
		nft.Hook{Type: "filter", Number: nft.Prerouting, Priority: -90},
		func(r rules) nft.Rule {
			return rule("", r.setConnectionMark(1), r.toProxy(nil)[1].Exprs)
		},
	}
}

// Supported returns nil if the kernel can do what this mode needs for IPv4, as proxy.Prober describes.
func (b *Backend) Supported(ctx context.Context) error {
	lacking, err := b.probe(ctx, b.families[0])
	if len(lacking) == 0 {
		return err
	}
	return fmt.Errorf("the kernel lacks %s: %s", lacking[0].name, lacking[0].remedy)
}

// probe returns the capabilities that a family lacks, and what else keeps it from being used. A probe is one transaction
// that makes a table and deletes it, so nothing of it is ever in force.
func (b *Backend) probe(ctx context.Context, f *family) (lacking []capability, other error) {
	needed := capabilities()
	if f.handover.FirstPort != 0 {
		needed = append(needed, handoverCapability())
	}
	for _, c := range needed {
		var tx nft.Transaction
		t := nft.Table{Family: f.table.Family, Name: f.table.Name + "-probe"}
		r := rules{family: f.table.Family, handover: f.handover}
		tx.AddTable(t)
		for i := range f.sets {
			tx.AddSet(t, &f.sets[i])
		}
		probed := c.rule(r)
		probed.Chain = "probe"
		tx.AddChain(t, nft.Chain{Name: probed.Chain, Hook: &c.hook})
		tx.AddRule(t, probed)
		tx.DeleteTable(t)
		if err := b.kernel.Run(ctx, &tx); nft.IsUnsupported(err) {
			lacking = append(lacking, c)
		} else if err != nil {
			other = fmt.Errorf("try %s in nftables: %w", c.name, err)
		}
	}
	return lacking, other
}

// explain finds out what the kernel lacks, after an error that says that it may lack something. It reports true if a
// new try makes sense, without a family that this node does not have.
func (b *Backend) explain(ctx context.Context, err error) (again bool) {
	b.lacking = nil
	if !nft.IsUnsupported(err) {
		return false
	}
	for _, f := range b.families {
		if f.missing {
			continue
		}
		// What else fails is the next error of a Sync.
		lacking, _ := b.probe(ctx, f)
		if f.table.Family == nft.IPv6 && len(lacking) > 0 && lacking[0].name == capabilities()[0].name && len(b.lacking) == 0 {
			f.missing, again = true, true
			continue
		}
		for _, c := range lacking {
			b.lacking = append(b.lacking, plan.Unsupported{
				Capability:  fmt.Sprintf("%s in nftables (%s)", c.name, f.table.Family),
				Consequence: "Services are not served by this node in the nftables mode",
				Remedy:      c.remedy + ", or choose another proxy mode",
			})
		}
	}
	return again
}

// unsupported returns all that a plan asks for and this node cannot do.
func (b *Backend) unsupported(p *plan.Plan) []plan.Unsupported {
	list := append([]plan.Unsupported(nil), b.lacking...)
	for _, f := range b.families {
		if f.missing {
			list = append(list, plan.Unsupported{
				Capability:  fmt.Sprintf("nftables for IPv6 (%s)", f.table.Family),
				Consequence: "IPv6 addresses of Services are not answered by this node",
				Remedy:      "boot without ipv6.disable=1, on a kernel with CONFIG_NF_TABLES_IPV6",
			})
		}
		if f.affinityFull {
			list = append(list, plan.Unsupported{
				Capability:  fmt.Sprintf("session affinity for more than %d clients (%s)", affinitySize, f.table.Family),
				Consequence: "further clients of Services with session affinity are sent to any endpoint",
				Remedy:      "lower sessionAffinityConfig.clientIP.timeoutSeconds of the Services",
			})
		}
	}
	if loopback := loopbackAddress(p); loopback.IsValid() && b.families[0].handover.FirstPort == 0 {
		list = append(list, plan.Unsupported{
			Capability:  fmt.Sprintf("node ports on the loopback address %s", loopback),
			Consequence: "node ports are answered on this node's other addresses only",
			Remedy:      "take loopback addresses out of nodePortAddresses, and use another address of the node",
		})
	}
	return list
}

// loopbackAddress returns a loopback address that the plan wants node ports on, if there is one: the kernel does not
// route translated packets from a loopback address.
func loopbackAddress(p *plan.Plan) netip.Addr {
	for _, a := range p.Node.NodePorts.Addrs {
		if a.IsLoopback() {
			return a
		}
	}
	return netip.Addr{}
}
