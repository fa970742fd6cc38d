package proxytest

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// thisNode is the node whose proxy is tested.
const thisNode = "node-1"

// The two ports on which every host of the topology answers, over TCP, UDP and SCTP.
const (
	portA = 8080
	portB = 9090
)

// host is a member of the topology. All of them exist in every scenario:
//
//	                 client, client-2   internet (has all addresses of serviceNetworks)
//	                      └──── wan 198.51.100.0/24 ────┘
//	                                   │
//	local-1, local-2, local-3 ───── node-1 ──── lan 192.168.10.0/24 ──── node-2 ───── remote-1, remote-2, remote-3
//	    10.244.1.0/24             (under test)                                         10.244.2.0/24
//
// Everything that is not on a host's own link goes through node-1, in both directions.
type host struct {
	name   string
	v4, v6 netip.Addr
	// node is the node of a pod; empty for others.
	node string
	// arrives is the interface of node-1 by which its packets come in; empty for node-1 itself.
	arrives string
}

// hosts returns the members of the topology.
func hosts() []host {
	all := []host{
		{name: thisNode, v4: addr("192.168.10.11"), v6: addr("fd00:10::11")},
		{name: "node-2", v4: addr("192.168.10.12"), v6: addr("fd00:10::12"), arrives: "lan0"},
		{name: "client", v4: addr("198.51.100.100"), v6: addr("fd00:51::100"), arrives: "wan0"},
		{name: "client-2", v4: addr("198.51.100.101"), v6: addr("fd00:51::101"), arrives: "wan0"},
		{name: "internet", v4: addr("198.51.100.254"), v6: addr("fd00:51::254"), arrives: "wan0"},
	}
	for i := 1; i <= 3; i++ {
		all = append(all,
			host{
				name: fmt.Sprintf("local-%d", i), node: thisNode, arrives: fmt.Sprintf("pod%d", i),
				v4: addr(fmt.Sprintf("10.244.1.1%d", i)), v6: addr(fmt.Sprintf("fd00:244:1::1%d", i)),
			},
			host{
				name: fmt.Sprintf("remote-%d", i), node: "node-2", arrives: "lan0",
				v4: addr(fmt.Sprintf("10.244.2.1%d", i)), v6: addr(fmt.Sprintf("fd00:244:2::1%d", i)),
			})
	}
	return all
}

// in returns the host's address of a family.
func (h host) in(f model.Family) netip.Addr {
	if f == model.IPv4 {
		return h.v4
	}
	return h.v6
}

// findHost returns the host of a name.
func findHost(name string) (host, error) {
	for _, h := range hosts() {
		if h.name == name {
			return h, nil
		}
	}
	return host{}, fmt.Errorf("there is no host %q", name)
}

// wanAddrs and gatewayAddrs are the further addresses of node-1: on its outer link, and towards its pods.
func wanAddrs() []netip.Addr     { return []netip.Addr{addr("198.51.100.1"), addr("fd00:51::1")} }
func gatewayAddrs() []netip.Addr { return []netip.Addr{addr("10.244.1.1"), addr("fd00:244:1::1")} }

// podNetworks are the networks of all pods of the cluster.
func podNetworks() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/32")}
}

// serviceNetworks are the networks from which scenarios take cluster IPs, external IPs and load-balancer addresses.
func serviceNetworks() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []string{"10.96.0.0/15", "192.0.2.0/24", "203.0.113.0/24", "fd00:96::/112", "2001:db8::/32"} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// nodeAddrs returns all addresses of node-1.
func nodeAddrs() []netip.Addr {
	out := []netip.Addr{addr("127.0.0.1"), addr("::1"), addr("192.168.10.11"), addr("fd00:10::11")}
	return append(append(out, wanAddrs()...), gatewayAddrs()...)
}

// endpointName returns how the table writes an endpoint: the name of its host, and its port unless that is portA.
// An address that is none of the topology's is written as it is.
func endpointName(ap netip.AddrPort) string {
	for _, h := range hosts() {
		if h.v4 == ap.Addr() || h.v6 == ap.Addr() {
			return withPort(h.name, int(ap.Port()))
		}
	}
	return ap.String()
}

func withPort(name string, port int) string {
	if port == portA {
		return name
	}
	return fmt.Sprintf("%s:%d", name, port)
}

// towards returns the address that node-1 masquerades traffic to a host with: that of the interface it leaves by.
func towards(endpoint string, f model.Family) netip.Addr {
	addrs := []netip.Addr{addr("192.168.10.11"), addr("fd00:10::11")}
	switch {
	case strings.HasPrefix(endpoint, "local-"):
		addrs = gatewayAddrs()
	case strings.HasPrefix(endpoint, "client"), strings.HasPrefix(endpoint, "internet"):
		addrs = wanAddrs()
	}
	if f == model.IPv4 {
		return addrs[0]
	}
	return addrs[1]
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
