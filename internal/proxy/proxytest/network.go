package proxytest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/sctp"
	"github.com/switchyard-net/switchyard/internal/model"
)

// network is the topology of host in network namespaces, with an answering server on every host.
type network struct {
	t          *testing.T
	topology   *lab.Topology
	namespaces map[string]*lab.Namespace // by the names of hosts
	ports      *clientPorts
	lan        *lab.LAN      // that of the nodes
	silence    time.Duration // how long a client listens for an answer that must not come
}

// newNetwork builds the topology. Nodes and internet also answer on the ports given: where a packet that a Service should
// have caught goes on its way, somebody is there to say so. (A refusal would look like a reject.)
func newNetwork(t *testing.T, ports []uint16) *network {
	t.Helper()
	n := &network{
		t: t, topology: lab.ForTest(t), namespaces: map[string]*lab.Namespace{}, ports: newClientPorts(), silence: silencePatience(),
	}
	for _, name := range []string{thisNode, "node-2", "client", "internet"} {
		n.namespace(name)
	}
	n.namespaces["client-2"] = n.namespaces["client"]
	lan, wan := n.topology.LAN("lan"), n.topology.LAN("wan")
	n.lan = lan
	n.join(lan, thisNode, "lan0")
	n.join(lan, "node-2", "lan0")
	n.join(wan, "client", "wan0")
	n.must(n.namespaces["client"].AddAddress("wan0", netip.MustParsePrefix("198.51.100.101/24")))
	n.must(n.namespaces["client"].AddAddress("wan0", netip.MustParsePrefix("fd00:51::101/64")))
	n.join(wan, "internet", "wan0")
	n.must(wan.Join(n.namespaces[thisNode], "wan0", netip.PrefixFrom(wanAddrs()[0], 24), netip.PrefixFrom(wanAddrs()[1], 64)))
	n.pods()
	n.routes()
	n.serve(ports)
	return n
}

func (n *network) must(err error) { n.topology.Must(err) }

// namespace makes the namespace of a host. Nothing there may answer with a redirect past node-1, or save on ICMP errors.
func (n *network) namespace(name string) {
	ns := n.topology.Namespace(name)
	n.namespaces[name] = ns
	for key, value := range map[string]string{
		"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1",
		"net.ipv4.conf.all.send_redirects": "0", "net.ipv4.conf.default.send_redirects": "0",
		"net.ipv4.conf.all.accept_redirects": "0", "net.ipv4.conf.default.accept_redirects": "0",
		"net.ipv6.conf.all.accept_redirects": "0", "net.ipv6.conf.default.accept_redirects": "0",
		"net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0",
		"net.ipv4.icmp_ratelimit": "0", "net.ipv6.icmp.ratelimit": "0",
		"net.ipv6.ip_nonlocal_bind": "1", // so that internet can answer a datagram by the address it was sent to
	} {
		n.must(ns.SetSysctl(key, value))
	}
}

// join puts a host on a segment, of a /24 and a /64 network, with its addresses.
func (n *network) join(lan *lab.LAN, name, ifname string) {
	h, err := findHost(name)
	n.must(err)
	n.must(lan.Join(n.namespaces[name], ifname, netip.PrefixFrom(h.v4, 24), netip.PrefixFrom(h.v6, 64)))
}

// pods joins each pod to its node by a veth pair, on which nothing but the node is a neighbour.
func (n *network) pods() {
	gateways := map[string][]netip.Addr{thisNode: gatewayAddrs(), "node-2": {addr("10.244.2.1"), addr("fd00:244:2::1")}}
	for _, h := range hosts() {
		if h.node == "" {
			continue
		}
		n.namespace(h.name)
		pod, node := n.namespaces[h.name], n.namespaces[h.node]
		ifname := "pod" + h.name[strings.LastIndex(h.name, "-")+1:]
		gateway := gateways[h.node]
		n.must(lab.Link(pod, node, lab.LinkOptions{
			A: lab.End{Addresses: []netip.Prefix{single(h.v4), single(h.v6)}},
			B: lab.End{Name: ifname, Addresses: []netip.Prefix{single(gateway[0]), single(gateway[1])}},
		}))
		for i, a := range []netip.Addr{h.v4, h.v6} {
			n.must(node.AddLinkRoute(single(a), ifname))
			n.must(pod.AddLinkRoute(single(gateway[i]), "eth0"))
			n.must(pod.AddDefaultRoute(gateway[i]))
		}
	}
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// routes sends everything that is not on a link through node-1, and from there to internet, which has all
// addresses that Services may have.
func (n *network) routes() {
	node1, node2 := n.namespaces[thisNode], n.namespaces["node-2"]
	lan2, _ := findHost("node-2")
	lan1, _ := findHost(thisNode)
	internet, _ := findHost("internet")
	for i, f := range []model.Family{model.IPv4, model.IPv6} {
		podNetwork := []string{"10.244.2.0/24", "fd00:244:2::/64"}[i]
		n.must(node1.AddRoute(netip.MustParsePrefix(podNetwork), lan2.in(f)))
		n.must(node1.AddDefaultRoute(internet.in(f)))
		n.must(node2.AddDefaultRoute(lan1.in(f)))
		n.must(n.namespaces["client"].AddDefaultRoute(wanAddrs()[i]))
		n.must(n.namespaces["internet"].AddDefaultRoute(wanAddrs()[i]))
	}
	for _, h := range hosts() {
		if h.node != "node-2" {
			continue
		}
		// Its own neighbours too, whose replies node-1 may have to translate back.
		for i, f := range []string{"-4", "-6"} {
			pod := "pod" + h.name[len("remote-"):]
			n.command("node-2", "ip", f, "rule", "add", "iif", pod, "lookup", "200")
			n.command("node-2", "ip", f, "route", "replace", "default", "via", []netip.Addr{lan1.v4, lan1.v6}[i].String(), "table", "200")
		}
	}
	for _, p := range serviceNetworks() {
		n.command("internet", "ip", "route", "add", "local", p.String(), "dev", "lo")
	}
	if sctp.Kernel() {
		n.command("internet", "iptables", "-t", "nat", "-A", "PREROUTING", "-p", "sctp", "-j", "REDIRECT")
		n.command("internet", "ip6tables", "-t", "nat", "-A", "PREROUTING", "-p", "sctp", "-j", "REDIRECT")
	}
}

// command runs a program in a host's namespace.
func (n *network) command(host, name string, args ...string) {
	out, err := n.namespaces[host].Command(n.t.Context(), name, args...).CombinedOutput()
	if err != nil {
		n.must(fmt.Errorf("%s %s in %s: %w: %s", name, strings.Join(args, " "), host, err, out))
	}
}

// addExtra gives node-1 further addresses, and returns how to take them away again.
func (n *network) addExtra(addrs []netip.Addr) (remove func()) {
	node := n.namespaces[thisNode]
	for _, a := range addrs {
		n.must(node.AddAddress("lo", single(a)))
	}
	return func() {
		for _, a := range addrs {
			n.must(node.DeleteAddress("lo", single(a)))
		}
	}
}
