package nftables

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// rules writes the rules of one family's table for a node.
type rules struct {
	family   nft.Family
	node     plan.Node
	handover Handover
}

func (r rules) model() model.Family {
	if r.family == nft.IPv6 {
		return model.IPv6
	}
	return model.IPv4
}

// addressWidth is how many registers an address takes.
func (r rules) addressWidth() uint32 {
	if r.family == nft.IPv6 {
		return 4
	}
	return 1
}

// loopback is what node ports are never answered on.
func (r rules) loopback() netip.Prefix {
	if r.family == nft.IPv6 {
		return netip.PrefixFrom(netip.IPv6Loopback(), 128)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)
}

// rule joins expressions and lists of expressions.
func rule(comment string, parts ...[]nft.Expr) nft.Rule {
	var r nft.Rule
	for _, p := range parts {
		r.Exprs = append(r.Exprs, p...)
	}
	r.Comment = comment
	return r
}

func exprs(e ...nft.Expr) []nft.Expr { return e }

func take(code int32, chain string) []nft.Expr {
	return exprs(nft.Take(nft.Verdict{Code: code, Chain: chain}))
}

func goTo(chain string) []nft.Expr { return take(nft.Goto, chain) }

func drop() []nft.Expr { return take(nft.Drop, "") }

// loadKey loads what frontends, or with anyNode node ports, are looked up by: address . protocol . port. It returns
// the register after them.
func (r rules) loadKey(anyNode bool) ([]nft.Expr, uint32) {
	var list []nft.Expr
	reg := uint32(0)
	if !anyNode {
		list = append(list, nft.LoadDestination(r.family, 0))
		reg = r.addressWidth()
	}
	return append(list, nft.LoadProtocol(reg), nft.LoadPort(reg+1)), reg + 2
}

// loadOriginalKey loads the same of the connection before translation.
func (r rules) loadOriginalKey(anyNode bool) []nft.Expr {
	var list []nft.Expr
	reg := uint32(0)
	if !anyNode {
		list = append(list, nft.LoadOriginalDestination(r.family, 0))
		reg = r.addressWidth()
	}
	return append(list, nft.LoadProtocol(reg), nft.LoadOriginalPort(reg+1))
}

// draws is how often an index is drawn at random before one is taken that is certain to have an endpoint. It bounds
// the bias towards the first endpoints: the last draw decides for less than one connection in 2^draws.
const draws = 8

// spread translates to one of the endpoints in a map, of which there are more than half of limit, a power of two, and
// at most limit. Where the index drawn has no endpoint, the lookup fails, and the next rule draws again.
//
// A packet that is under way while endpoints go may come here by the old frontend and find the new endpoints, fewer
// than half of limit: hence the first one is tried last. It must not leave untranslated, so it is dropped rather.
func (r rules) spread(set string, anyNode bool, limit int) []nft.Rule {
	key, reg := r.loadKey(anyNode)
	var list []nft.Rule
	draw := func(comment string, modulus int) {
		list = append(list, rule(comment, key, exprs(nft.Random(uint32(modulus), 0, reg), nft.MapLookup(set, 0),
			nft.Translate(r.family, 0, r.addressWidth()))))
	}
	draw("", limit)
	if limit > 2 {
		for len(list) < draws {
			draw("if that index had no endpoint", limit)
		}
		draw("these indexes all have one", limit/2)
	}
	if limit > 1 {
		draw("unless endpoints go at this moment", 1)
	}
	return append(list, rule("all went at this moment: the client tries again", drop()))
}

// class returns the power of two that bounds a number of endpoints.
func class(n int) int { return 1 << bits.Len(uint(n-1)) }

// remembered translates to the endpoint that the client had before; without one, the next rule decides.
func (r rules) remembered(id uint32) nft.Rule {
	return rule("the number is that of the Service port", exprs(nft.LoadSource(r.family, 0), nft.Random(1, id, r.addressWidth()),
		nft.MapLookup(affinity, 0), nft.Translate(r.family, 0, r.addressWidth())))
}

// remember notes which endpoint the client was sent to.
func (r rules) remember(id uint32, timeout time.Duration) nft.Rule {
	const data = 8 // any register after the key, which takes at most five
	return rule("", exprs(nft.LoadSource(r.family, 0), nft.Random(1, id, r.addressWidth()),
		nft.LoadDestination(r.family, data), nft.LoadPort(data+r.addressWidth()),
		nft.Update(affinity, 0, data, timeout)))
}

func (r rules) markBytes() (mark, others []byte) {
	bit := uint32(1) << r.node.MasqueradeBit
	return binary.NativeEndian.AppendUint32(nil, bit), binary.NativeEndian.AppendUint32(nil, ^bit)
}

// mark asks for masquerading in postrouting.
func (r rules) mark() []nft.Expr {
	mark, others := r.markBytes()
	return exprs(nft.LoadMark(0), nft.Bitwise(0, others, mark), nft.SetMark(0))
}

// fromPods returns the ways to recognise this node's pods, each to begin a rule with; with not set, one way to recognise
// that a packet is not theirs.
func (r rules) fromPods(not bool) [][]nft.Expr {
	compare := nft.Equal
	if not {
		compare = nft.NotEqual
	}
	var ways [][]nft.Expr
	for _, p := range r.node.LocalPods.Sources {
		if model.FamilyOf(p.Addr()) == r.model() {
			ways = append(ways, append(exprs(nft.LoadSource(r.family, 0)), nft.InPrefix(0, p, not)...))
		}
	}
	if name := r.node.LocalPods.Interface; name != "" {
		padded := make([]byte, 16) // IFNAMSIZ: the whole name is compared
		copy(padded, name)
		ways = append(ways, exprs(nft.LoadInterface(0), compare(0, padded)))
	}
	if prefix := r.node.LocalPods.InterfacePrefix; prefix != "" {
		ways = append(ways, exprs(nft.LoadInterface(0), compare(0, []byte(prefix))))
	}
	if not {
		return [][]nft.Expr{slices.Concat(ways...)}
	}
	return ways
}

// fromNode recognises what the node itself sends.
func fromNode() []nft.Expr { return exprs(nft.LoadSourceType(0), nft.Equal(0, nft.LocalType())) }

// static returns the chains that do not depend on Services.
func (r rules) static() []*chain {
	const (
		dstnat = -100 // NF_IP_PRI_NAT_DST
		srcnat = 100  // NF_IP_PRI_NAT_SRC
	)
	list := []*chain{
		base(prerouting, "nat", nft.Prerouting, dstnat, "new connections from pods and from outside", jump(services)),
		base(output, "nat", nft.Output, dstnat, "new connections of the node itself", r.ofNode()...),
		{Chain: nft.Chain{Name: services, Comment: "which Service is meant"}, rules: r.services()},
		{Chain: nft.Chain{Name: refuse, Comment: "the client fails at once"}, rules: []nft.Rule{rule("", exprs(nft.Reject(r.family)))}},
		base(postrouting, "nat", nft.Postrouting, srcnat, "whose source address is replaced by the node's", r.postrouting()...),
		base(learnPostrouting, "nat", nft.Postrouting, srcnat-1, "session affinity: before the source is replaced", jump(learnChain)),
		base(learnInput, "nat", nft.Input, srcnat-1, "session affinity of endpoints on the node's own network", jump(learnChain)),
		{Chain: nft.Chain{Name: learnChain, Comment: "remember where clients were sent"}, rules: r.learn()},
	}
	if r.handover.FirstPort != 0 {
		list = append(list, r.handoverStatic()...)
	}
	if r.node.DropInvalid {
		list = append(list, base(forward, "filter", nft.Forward, 0, "see kubernetes/kubernetes#74839",
			rule("would reach the client untranslated", exprs(nft.LoadState(0)), nft.HasBit(0, nft.InvalidState), drop())))
	}
	return list
}

func base(name, typ string, hook uint32, priority int32, comment string, list ...nft.Rule) *chain {
	return &chain{
		Chain: nft.Chain{Name: name, Comment: comment, Hook: &nft.Hook{Type: typ, Number: hook, Priority: priority}},
		rules: list,
	}
}

func jump(chain string) nft.Rule { return rule("", take(nft.Jump, chain)) }

// ofNode returns the rules for what the node itself sends.
func (r rules) ofNode() []nft.Rule {
	if r.handover.FirstPort == 0 {
		return []nft.Rule{jump(services)}
	}
	return append(r.opened(), jump(services))
}

func (r rules) services() []nft.Rule {
	key, _ := r.loadKey(false)
	anyNode, _ := r.loadKey(true)
	address := exprs(nft.LoadDestination(r.family, 0))
	answers := append(address, nft.Lookup("node-port-addresses", 0))
	if r.node.NodePorts.AnyLocal {
		answers = append(exprs(nft.LoadDestinationType(0), nft.Equal(0, nft.LocalType())), address...)
		answers = append(answers, nft.InPrefix(0, r.loopback(), true)...)
	}
	list := []nft.Rule{
		rule("", key, exprs(nft.VerdictLookup("frontends", 0))),
		rule("", answers, anyNode, exprs(nft.VerdictLookup("node-ports", 0))),
	}
	if r.handover.FirstPort != 0 {
		list = append(list, r.loopbackNodePorts()...)
	}
	list = append(list,
		rule("not a port of the Service", address, exprs(nft.Lookup("cluster-ips", 0)), goTo(refuse)))
	for _, p := range r.node.ServiceCIDRs {
		if model.FamilyOf(p.Addr()) == r.model() {
			list = append(list, rule("no Service has this address", address, nft.InPrefix(0, p, false), drop()))
		}
	}
	return list
}

func (r rules) postrouting() []nft.Rule {
	mark, others := r.markBytes()
	none := make([]byte, 4)
	pair := exprs(nft.LoadSource(r.family, 0), nft.LoadDestination(r.family, r.addressWidth()))
	return []nft.Rule{
		rule("asked for by the mark, which is taken back",
			exprs(nft.LoadMark(0), nft.Bitwise(0, mark, none), nft.NotEqual(0, none)),
			exprs(nft.LoadMark(0), nft.Bitwise(0, others, none), nft.SetMark(0), nft.Masquerade())),
		rule("a pod that reaches itself", translated(), pair, exprs(nft.Lookup("hairpins", 0), nft.Masquerade())),
	}
}

func translated() []nft.Expr {
	return append(exprs(nft.LoadStatus(0)), nft.HasBit(0, nft.TranslatedStatus)...)
}

func (r rules) learn() []nft.Rule {
	toNode := exprs(nft.LoadOriginalDestination(r.family, 0), nft.Lookup("node-port-addresses", 0))
	if r.node.NodePorts.AnyLocal {
		toNode = exprs(nft.LoadOriginalDestination(r.family, 0), nft.NotLookup("cluster-ips", 0))
	}
	return []nft.Rule{
		rule("", translated(), r.loadOriginalKey(false), exprs(nft.VerdictLookup("learn", 0))),
		rule("", translated(), toNode, r.loadOriginalKey(true), exprs(nft.VerdictLookup("learn-node-ports", 0))),
	}
}
