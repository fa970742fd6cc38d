package nftables

import (
	"encoding/binary"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// Handover makes the tables hand TCP connections and UDP flows over to a proxy on this host, addresses untouched,
// where they would else translate them to an endpoint (the userspace mode). All else stays as it is: verdicts, source
// ranges, the addresses of node ports, and SCTP, which cannot be handed over and is translated.
//
// The first packet of a connection to a frontend gives the connection a mark, so that it stays with the proxy whatever
// becomes of the frontend. Packets with that mark are routed to this host by their packet mark, which needs a routing
// rule, and given to one of three listeners, which tells the proxy where the client is. The replies to connections that
// the proxy opens with a client's address are recognised by another mark, and come back to the proxy likewise.
//
// The marks are bits of plan.Node: MasqueradeBit of a connection's mark for replies, and the bit after it otherwise.
type Handover struct {
	// FirstPort is the loopback port of the listener for clients that plan.Node.LocalPods recognises. The next one is
	// for the node's own processes, and the one after that for all others. 0: nothing is handed over.
	FirstPort uint16
}

// The chains that only handing over needs.
const (
	handOver     = "hand-over"
	divert       = "divert"
	divertOutput = "divert-output"
	toProxy      = "to-proxy"
)

// handsOver reports whether connections of a protocol are handed over.
func (r rules) handsOver(p model.Protocol) bool {
	return r.handover.FirstPort != 0 && p != model.SCTP
}

// handOverChain returns the chain that hands connections over.
func (r *renderer) handOverChain() string {
	return r.use(handOver, func() *chain {
		return named(handOver, "the proxy decides", rule("", r.setConnectionMark(r.handoverBit())))
	})
}

// handoverBit is the mark of packets that go to the proxy, and of connections that end there.
func (r rules) handoverBit() uint32 { return 1 << ((r.node.MasqueradeBit + 1) % 32) }

// proxysOwnBit is the mark of connections that the proxy opened with the address of a client.
func (r rules) proxysOwnBit() uint32 { return 1 << r.node.MasqueradeBit }

func (r rules) setConnectionMark(bit uint32) []nft.Expr {
	return exprs(nft.LoadConnectionMark(0), nft.Bitwise(0, nativeBytes(^bit), nativeBytes(bit)), nft.SetConnectionMark(0))
}

func nativeBytes(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// handoverStatic returns the chains that do not depend on Services.
func (r rules) handoverStatic() []*chain {
	const afterTranslation = -90 // of the destination, NF_IP_PRI_NAT_DST, where connections get their mark
	mark := exprs(nft.LoadMark(0), nft.Bitwise(0, nativeBytes(^r.handoverBit()), nativeBytes(r.handoverBit())), nft.SetMark(0))
	clients, replies := r.ofClients(), r.replies()
	return []*chain{
		base(divert, "filter", nft.Prerouting, afterTranslation, "what goes to the proxy",
			rule("of an endpoint to the client whose address the proxy used", replies, goTo(toProxy)),
			rule("", clients, goTo(toProxy))),
		base(divertOutput, "route", nft.Output, afterTranslation, "likewise of the node itself, by way of loopback",
			rule("", replies, mark), rule("", clients, mark)),
		named(toProxy, "to the listener for clients of that kind", r.toProxy(mark)...),
	}
}

// ofClients matches packets of clients in connections that are handed over, and replies those to the proxy itself.
// Connections that are translated are left alone: another mode did that before, or does so from now on.
func (r rules) ofClients() []nft.Expr {
	untranslated := exprs(nft.LoadStatus(0), nft.Bitwise(0, nativeBytes(nft.TranslatedStatus), make([]byte, 4)), nft.Equal(0, make([]byte, 4)))
	return append(r.marked(nft.OriginalDirection(), r.handoverBit()), untranslated...)
}

func (r rules) replies() []nft.Expr { return r.marked(nft.ReplyDirection(), r.proxysOwnBit()) }

func (r rules) marked(direction []byte, bit uint32) []nft.Expr {
	none := make([]byte, 4)
	return exprs(nft.LoadConnectionMark(0), nft.Bitwise(0, nativeBytes(bit), none), nft.NotEqual(0, none),
		nft.LoadDirection(0), nft.Equal(0, direction))
}

// toProxy gives packets to the proxy's sockets. Where there is none, the process is down, and clients must fail at once.
func (r rules) toProxy(mark []nft.Expr) []nft.Rule {
	listener := func(offset uint16) []nft.Expr {
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), r.handover.FirstPort+offset)
		if r.family == nft.IPv6 {
			to = netip.AddrPortFrom(netip.IPv6Loopback(), to.Port())
		}
		return append(nft.TransparentProxy(to, 0), take(nft.Accept, "")...)
	}
	list := []nft.Rule{rule("routed to this host", mark)}
	for _, pods := range r.fromPods(false) {
		list = append(list, rule("pods of this node", pods, listener(0)))
	}
	return append(list,
		rule("the node itself", fromNode(), listener(1)),
		rule("", listener(2)),
		rule("the proxy is down", exprs(nft.LoadProtocol(0), nft.Equal(0, []byte{byte(model.TCP)}), nft.Reset())),
		rule("the proxy is down", exprs(nft.Reject(r.family))))
}

// opened marks the connections that the proxy opens with the address of a client, which no other process of the node
// does: the address is none of the node's. So are its answers to a client of UDP, which have a mark, where the kernel has
// forgotten who asked.
func (r rules) opened() []nft.Rule {
	set := r.setConnectionMark(r.proxysOwnBit())
	bit, none := nativeBytes(r.proxysOwnBit()), make([]byte, 4)
	return []nft.Rule{
		rule("opened by the proxy for a client", exprs(nft.LoadSourceType(0), nft.NotEqual(0, nft.LocalType())), set, take(nft.Accept, "")),
		rule("answer of the proxy", exprs(nft.LoadMark(0), nft.Bitwise(0, bit, none), nft.NotEqual(0, none)), set,
			exprs(nft.LoadMark(0), nft.Bitwise(0, nativeBytes(^r.proxysOwnBit()), none), nft.SetMark(0)), take(nft.Accept, "")),
	}
}

// loopbackNodePorts answers on those loopback addresses that the plan names: a proxy can, where translating cannot.
func (r rules) loopbackNodePorts() []nft.Rule {
	key, _ := r.loadKey(true)
	var list []nft.Rule
	for _, a := range r.node.NodePorts.Addrs {
		if !a.IsLoopback() || model.FamilyOf(a) != r.model() {
			continue
		}
		list = append(list, rule("", exprs(nft.LoadDestination(r.family, 0), nft.Equal(0, a.Unmap().AsSlice()),
			nft.LoadProtocol(0), nft.NotEqual(0, []byte{byte(model.SCTP)})), key, exprs(nft.VerdictLookup("node-ports", 0))))
	}
	return list
}

// handedOver returns what happens to a frontend's packets where connections are handed over: the proxy knows which
// pool is for whom, so nothing but the verdict counts here.
func (r *renderer) handedOver(f *plan.Frontend) nft.Verdict {
	forward := f.Verdict == plan.Forward && r.pool(f.Pool) != nil
	here := r.pool(f.LocalClientPool) != nil
	if !forward && !here {
		return r.others(f)
	}
	proxied := r.handOverChain()
	if forward {
		return nft.Verdict{Code: nft.Goto, Chain: proxied}
	}
	others := r.others(f)
	name := "from-here-" + proxied + "-else-" + elseName(others)
	r.use(name, func() *chain {
		c := named(name, "clients on this node use endpoints of the whole cluster")
		for _, pods := range r.fromPods(false) {
			c.rules = append(c.rules, rule("", pods, goTo(proxied)))
		}
		c.rules = append(c.rules, rule("", fromNode(), goTo(proxied)), rule("", exprs(nft.Take(others))))
		return c
	})
	return nft.Verdict{Code: nft.Goto, Chain: name}
}
