package ipvs

import (
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// rules are the iptables rules of one family. Their number depends on the node, not on its Services.
type rules struct {
	layout
	family model.Family
	node   plan.Node
	sets   []ipset.Set
	ports  map[uint16]uint32 // see affinityPorts
	// digest is that of the rules without it; one rule of each table has it as its comment.
	digest string
}

// newRules returns the rules with their digest.
func newRules(r rules) *rules {
	sum := fnv.New64a()
	io.WriteString(sum, r.text())
	r.digest = fmt.Sprintf("switchyard %016x", sum.Sum64())
	return &r
}

func (r rules) comment() string { return fmt.Sprintf("-m comment --comment %q ", r.digest) }

// table is a table with our chains, their rules, and the jumps to them.
type table struct {
	name   string
	chains []chain
	hooks  []hook
}

// chain is one of our chains. Its rules are as iptables-restore reads them, without "-A CHAIN".
type chain struct {
	name  string
	rules []string
}

// hook is a jump from a chain of the kernel to one of ours, which comes first there.
type hook struct{ from, to string }

// rule returns the jump as a rule.
func (h hook) rule() string { return h.from + " -j " + h.to }

// tables returns everything.
func (r rules) tables() []table {
	return []table{
		{
			name: "mangle", chains: r.mangle(),
			hooks: []hook{{"PREROUTING", chainArriving}, {"OUTPUT", chainSent}, {"POSTROUTING", chainLeaving}},
		},
		{
			name: "filter", chains: r.filter(),
			hooks: []hook{{"INPUT", chainReject}, {"OUTPUT", chainReject}, {"FORWARD", chainForward}},
		},
		{
			name: "nat", chains: r.nat(),
			hooks: []hook{{"PREROUTING", chainPort}, {"OUTPUT", chainPort}, {"POSTROUTING", chainPostroute}},
		},
	}
}

// The connections that nobody has decided on yet: their first packet, and that again if it is not answered. One that was
// translated is on its way already.
const fresh = "-m conntrack --ctstate NEW -m conntrack ! --ctstate DNAT"

// mangle marks packets: before the routing decision where they arrive, before IPVS where the node itself sends them.
func (r rules) mangle() []chain {
	route := bitOf(r.route)
	return []chain{
		{chainArriving, []string{
			"-m connmark --mark " + route + " -m conntrack ! --ctstate NEW,DNAT --ctdir ORIGINAL -j MARK --set-xmark " + route,
			fresh + " -j " + chainServices,
		}},
		{chainSent, []string{
			// Here again on its way from IPVS to an endpoint.
			"-m mark --mark " + route + " -j RETURN",
			fresh + " -j " + chainServices,
		}},
		{chainLeaving, []string{
			"-m mark --mark " + route + " -m conntrack --ctstate NEW -j MARK --set-xmark 0x0/0xffffffff",
			"-m mark --mark " + route + " -j MARK --set-xmark " + maskOf(0, r.route),
		}},
		{chainServices, r.services()},
		{chainFrontend, r.frontend(frontends, chainHere)},
		{chainNodePort, r.frontend(nodePorts, chainHerePort)},
		{chainHere, r.fromHere(frontendsHere)},
		{chainHerePort, r.fromHere(nodePortsHere)},
		{chainMarked, r.marked()},
		{chainOff, r.off()},
		{chainRefused, []string{r.comment() + "-j MARK --set-xmark " + exactly(r.refused())}},
	}
}

func (r rules) services() []string {
	answers := r.match(nodeAddresses, "dst")
	if r.node.NodePorts.AnyLocal {
		loopback := "127.0.0.0/8"
		if r.family == model.IPv6 {
			loopback = "::1/128"
		}
		answers = "! -d " + loopback + " -m addrtype --dst-type LOCAL"
	}
	list := []string{
		r.match(frontends, "dst,dst") + " -g " + chainFrontend,
		answers + " " + r.match(nodePorts, "dst,dst") + " -g " + chainNodePort,
		r.match(clusterIPs, "dst") + " -g " + chainRefused,
	}
	for _, p := range r.node.ServiceCIDRs {
		if model.FamilyOf(p.Addr()) == r.family {
			list = append(list, fmt.Sprintf("-d %s -j DROP", p.Masked()))
		}
	}
	return list
}

// frontend decides on packets to frontends of a set.
func (r rules) frontend(set setID, here string) []string {
	list := []string{
		r.lookup(set),
		"-m mark --mark " + bitOf(r.sources) + " -m set ! --match-set " + r.sets[sources].Name + " dst,dst,src -j DROP",
	}
	for _, pods := range r.fromPods() {
		list = append(list, "-m mark --mark "+bitOf(r.here)+" "+pods+" -g "+here)
	}
	return append(list,
		"-m mark --mark "+bitOf(r.here)+" -m addrtype --src-type LOCAL -g "+here,
		"-g "+chainMarked)
}

// fromHere gives clients on this node the mark of another pool. The node itself is masqueraded, its pods only where
// all are.
func (r rules) fromHere(set setID) []string {
	list := []string{r.lookup(set)}
	for _, pods := range r.fromPods() {
		list = append(list, pods+" -g "+chainMarked)
	}
	return append(list, "-j MARK --set-xmark "+bitOf(r.masquerade), "-g "+chainMarked)
}

// marked does what the flags of a mark say, and leaves what a virtual server goes by.
func (r rules) marked() []string {
	return []string{
		"-m mark --mark " + maskOf(r.mark(idDrop, 0), r.serverMask()) + " -j DROP",
		"-m mark --mark " + maskOf(r.mark(idReject, 0), r.serverMask()) + " -g " + chainRefused,
		"-m mark --mark " + bitOf(r.offCluster) + " -j " + chainOff,
		"-m mark --mark " + bitOf(r.masquerade) + " -j CONNMARK --set-xmark " + bitOf(r.masquerade),
		"-j CONNMARK --set-xmark " + bitOf(r.route),
		"-j MARK --set-xmark " + maskOf(0, ^r.serverMask()),
	}
}

// off masquerades what does not come from this node's pods.
func (r rules) off() []string {
	var list []string
	for _, pods := range r.fromPods() {
		list = append(list, pods+" -j RETURN")
	}
	return append(list, "-j MARK --set-xmark "+bitOf(r.masquerade))
}

// filter answers those who are refused, and holds back what would reach clients untranslated. Packets that are refused
// go on their way until here: if they were delivered to the node, it could not answer them by ICMP, as the address is not
// its own. Where that way is back to where they came from, the kernel may send a redirect in the place of such an error;
// hence TCP is reset.
func (r rules) filter() []chain {
	refused := "-m mark --mark " + exactly(r.refused()) + " -m conntrack --ctstate NEW -j REJECT"
	reject := chain{chainReject, []string{r.comment() + "-p tcp " + refused + " --reject-with tcp-reset", refused}}
	forward := chain{chainForward, []string{"-j " + chainReject}}
	if r.node.DropInvalid {
		forward.rules = append(forward.rules, "-m conntrack --ctstate INVALID -j DROP")
	}
	return []chain{reject, forward}
}

// nat gives packets of connections with affinity their destination port, and masquerades.
func (r rules) nat() []chain {
	port := chain{name: chainPort}
	for _, p := range slices.Sorted(maps.Keys(r.ports)) {
		mark := maskOf(r.mark(0, r.ports[p]), r.route|r.port)
		for _, protocol := range []string{"tcp", "udp", "sctp"} {
			port.rules = append(port.rules, fmt.Sprintf("-p %s -m mark --mark %s -j DNAT --to-destination :%d", protocol, mark, p))
		}
	}
	masquerade := " -j MASQUERADE --random-fully"
	return []chain{port, {chainPostroute, []string{
		r.comment() + "-m connmark --mark " + bitOf(r.masquerade) + masquerade,
		r.match(hairpins, "src,dst") + masquerade,
	}}}
}

// fromPods returns the ways to recognise this node's pods.
func (r rules) fromPods() []string {
	var ways []string
	for _, p := range r.node.LocalPods.Sources {
		if model.FamilyOf(p.Addr()) == r.family {
			ways = append(ways, "-s "+source(p))
		}
	}
	if name := r.node.LocalPods.Interface; name != "" {
		ways = append(ways, "-i "+name)
	}
	if prefix := r.node.LocalPods.InterfacePrefix; prefix != "" {
		ways = append(ways, "-i "+prefix+"+")
	}
	return ways
}

func source(p netip.Prefix) string { return p.Masked().String() }

func (r rules) match(id setID, dimensions string) string {
	return "-m set --match-set " + r.sets[id].Name + " " + dimensions
}

// lookup gives the packet the mark that a set has for it.
func (r rules) lookup(id setID) string {
	return "-j SET --map-set " + r.sets[id].Name + " dst,dst --map-mark"
}

// exactly, bitOf and maskOf write a mark with a mask.
func exactly(mark uint32) string { return maskOf(mark, 0xffffffff) }

func bitOf(bit uint32) string { return maskOf(bit, bit) }

func maskOf(mark, mask uint32) string { return fmt.Sprintf("%#x/%#x", mark, mask) }

// text returns the rules as iptables-save might.
func (r rules) text() string {
	var b strings.Builder
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "*%s\n", t.name)
		for _, rule := range t.rules() {
			fmt.Fprintf(&b, "-A %s\n", rule)
		}
	}
	return b.String()
}

// rules returns all rules of a table, behind the name of the chain that each is in.
func (t table) rules() []string {
	var list []string
	for _, h := range t.hooks {
		list = append(list, h.rule())
	}
	for _, c := range t.chains {
		for _, rule := range c.rules {
			list = append(list, c.name+" "+rule)
		}
	}
	return list
}
