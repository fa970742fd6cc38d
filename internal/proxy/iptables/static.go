package iptables

import (
	"fmt"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// The marks by which the nat table, which may neither drop nor reject, asks the filter table to. They are compared as a
// whole, so that no bit is taken from other software: the packet goes no further.
const (
	dropMark   = "0xdead/0xffff"
	rejectMark = "0xdeaf/0xffff"
)

// jumpRule is a rule of a chain that is not ours, which leads to one that is.
type jumpRule struct {
	table, chain string
	words        string
}

// line returns the rule as iptables-save prints it, after "-A ".
func (j jumpRule) line() string { return j.chain + " " + j.words }

// rules writes the rules of one family for a node that do not depend on Services.
type rules struct {
	family model.Family
	node   plan.Node
}

// jumps returns the rules of the kernel's own chains, in the reverse of the order in which they stand, at the top.
func (r rules) jumps() []jumpRule {
	list := []jumpRule{
		{"nat", "PREROUTING", comment("Kubernetes Services") + " " + jump(services)},
		{"nat", "OUTPUT", comment("Kubernetes Services") + " " + jump(services)},
		{"nat", "POSTROUTING", comment("Kubernetes Services") + " " + jump(postrouting)},
		{"filter", "FORWARD", comment("Kubernetes Services") + " " + jump(forward)},
	}
	for _, chain := range []string{"INPUT", "FORWARD", "OUTPUT"} {
		list = append(list, jumpRule{"filter", chain, "-m conntrack --ctstate NEW " + comment("Kubernetes Services") + " " + jump(verdicts)})
	}
	if r.routesLoopback() {
		list = append(list, jumpRule{"filter", "INPUT", comment("Kubernetes Services") + " " + jump(martians)})
	}
	return list
}

// loopback is what node ports are answered on only where an address of it is named.
func (r rules) loopback() netip.Prefix {
	if r.family == model.IPv6 {
		return single(netip.IPv6Loopback())
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)
}

// routesLoopback reports whether node ports are answered on a loopback address, which only IPv4 can.
func (r rules) routesLoopback() bool {
	for _, a := range r.node.NodePorts.Addrs {
		if a.IsLoopback() && a.Is4() {
			return r.family == model.IPv4
		}
	}
	return false
}

// chain is a chain that there is one of.
type chain struct {
	table, name string
	rules       []string
}

func (r rules) chains() []chain {
	bit := fmt.Sprintf("0x%x", uint32(1)<<r.node.MasqueradeBit)
	marked, set, unset := bit+"/"+bit, "-j MARK --set-xmark "+bit+"/"+bit, "-j MARK --set-xmark 0x0/"+bit
	list := []chain{
		{"nat", services, r.services()},
		{"nat", offCluster, append(r.fromPods("-j RETURN"), set)},
		{"nat", mark, []string{set}},
		{"nat", unmark, []string{unset}},
		{"nat", refuse, []string{"-j MARK --set-xmark " + rejectMark, "-j ACCEPT"}},
		{"nat", silence, []string{"-j MARK --set-xmark " + dropMark, "-j ACCEPT"}},
		{"nat", postrouting, []string{
			"-m conntrack ! --ctstate DNAT -j RETURN",
			"-m mark --mark " + marked + " " + goTo(masquerade),
			jump(hairpins),
		}},
		{"nat", masquerade, []string{unset, "-j MASQUERADE --random-fully"}},
		{"filter", verdicts, []string{
			"-m mark --mark " + dropMark + " -j DROP",
			"-m mark --mark " + rejectMark + " " + r.reject(),
		}},
		{"filter", forward, r.forward(marked)},
	}
	if r.routesLoopback() {
		list = append(list, chain{"filter", martians, []string{
			"! -s 127.0.0.0/8 -d 127.0.0.0/8 " + comment("CVE-2020-8558") + " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
		}})
	}
	return list
}

func (r rules) reject() string {
	if r.family == model.IPv6 {
		return "-j REJECT --reject-with icmp6-port-unreachable"
	}
	return "-j REJECT --reject-with icmp-port-unreachable"
}

// services: exact addresses come before node ports, and those before addresses that no Service has.
func (r rules) services() []string {
	list := []string{jump(frontends)}
	if r.node.NodePorts.AnyLocal {
		list = append(list, "! "+to(r.loopback())+" -m addrtype --dst-type LOCAL "+jump(nodePorts))
	}
	for _, a := range r.node.NodePorts.Addrs {
		if model.FamilyOf(a) == r.family && (!a.IsLoopback() || a.Is4()) {
			list = append(list, to(single(a.Unmap()))+" "+jump(nodePorts))
		}
	}
	for _, p := range r.node.ServiceCIDRs {
		if model.FamilyOf(p.Addr()) == r.family {
			list = append(list, to(p)+" "+comment("no Service has this address")+" "+goTo(silence))
		}
	}
	return list
}

// fromPods returns a rule for each way to recognise this node's pods.
func (r rules) fromPods(target string) []string {
	var list []string
	for _, p := range r.node.LocalPods.Sources {
		if model.FamilyOf(p.Addr()) == r.family {
			list = append(list, from(p)+" "+target)
		}
	}
	if name := r.node.LocalPods.Interface; name != "" {
		list = append(list, "-i "+name+" "+target)
	}
	if prefix := r.node.LocalPods.InterfacePrefix; prefix != "" {
		list = append(list, "-i "+prefix+"+ "+target)
	}
	return list
}

// forward lets through what Services brought, whatever the policy of the chain is, as kube-proxy does.
func (r rules) forward(marked string) []string {
	var list []string
	if r.node.DropInvalid {
		list = append(list, comment("would reach the client untranslated")+" -m conntrack --ctstate INVALID -j DROP")
	}
	return append(list,
		"-m mark --mark "+marked+" -j ACCEPT",
		"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
}
