package plan

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Packet is the first packet of a connection, as it arrives at the node or leaves one of its own processes.
type Packet struct {
	From netip.Addr
	// FromNode is true for a packet that a process of the node itself sends, in the node's own network namespace.
	FromNode bool
	// InInterface is the interface it arrives on; empty: unknown, or FromNode.
	InInterface string
	To          netip.AddrPort
	Protocol    model.Protocol
}

// Trace is what must happen to a packet.
type Trace struct {
	Verdict Verdict
	Reason  Reason
	// Service and PortName name what the packet is for; empty where Reason is NotAService or UnallocatedClusterIP.
	Service  model.Ref
	PortName string
	// Frontend is the one that matched, nil if none did.
	Frontend *Frontend
	// Pool is the chosen set of endpoints, nil unless Verdict is Forward.
	Pool *Pool
	// Affinity is how long the client keeps its endpoint; 0: each connection is spread anew.
	Affinity time.Duration
	// Masquerade is true where every endpoint sees an address of the node instead of the client's; MasqueradeTo
	// also knows hairpin traffic.
	Masquerade bool
	from       netip.Addr
}

// Reason says why a packet meets its verdict.
type Reason string

// The reasons.
const (
	NotAService          Reason = "NotAService"          // pass: no Service has this address and port
	ClusterEndpoints     Reason = "ClusterEndpoints"     // forward, by the policy Cluster
	LocalEndpoints       Reason = "LocalEndpoints"       // forward, by the policy Local
	ShortCircuit         Reason = "ShortCircuit"         // forward to the cluster's endpoints despite the policy Local: the client is on this node
	NoEndpoints          Reason = "NoEndpoints"          // reject: no node has a usable endpoint
	NoLocalEndpoints     Reason = "NoLocalEndpoints"     // drop: the policy is Local and this node has no endpoint
	SourceNotAllowed     Reason = "SourceNotAllowed"     // drop: the client is outside loadBalancerSourceRanges
	NoSuchPort           Reason = "NoSuchPort"           // reject: a cluster IP, but not a port of the Service
	UnallocatedClusterIP Reason = "UnallocatedClusterIP" // drop: inside a ServiceCIDR, but no Service's address
)

// MasqueradeTo reports whether the endpoint sees an address of the node instead of the client's. A pod that reaches
// itself through a Service must, or it would answer itself directly and never see its own reply translated.
func (t Trace) MasqueradeTo(e Endpoint) bool {
	return t.Masquerade || e.Local && e.Addr.Addr() == t.from
}

// Trace decides what happens to a packet: it is what tests hold every backend against, and what explain prints.
// It looks through all Services for the packet's destination, so it costs milliseconds in a cluster of 10,000.
func (p *Plan) Trace(pkt Packet) Trace {
	pkt.From, pkt.To = pkt.From.Unmap(), netip.AddrPortFrom(pkt.To.Addr().Unmap(), pkt.To.Port())
	s, f := p.find(pkt)
	if f == nil {
		return p.withoutFrontend(pkt)
	}
	t := Trace{Frontend: f, Service: s.Ref, PortName: f.PortName, from: pkt.From}
	if f.Sources != nil && !contain(f.Sources, pkt.From) {
		t.Verdict, t.Reason = Drop, SourceNotAllowed
		return t
	}
	pool, local := f.Pool, p.Node.LocalPods.recognise(pkt)
	shortCircuit := f.LocalClientPool != NoPool && (pkt.FromNode || local)
	if shortCircuit {
		pool = f.LocalClientPool
	}
	if pool == NoPool {
		t.Verdict, t.Reason = f.Verdict, NoLocalEndpoints
		if f.Verdict == Reject {
			t.Reason = NoEndpoints
		}
		return t
	}
	t.Pool = &s.Pools[pool]
	t.Affinity, t.Reason = t.Pool.Affinity, ClusterEndpoints
	t.Masquerade = f.Masquerade == MasqueradeAlways || f.Masquerade == MasqueradeOffCluster && !local
	switch {
	case shortCircuit:
		t.Reason = ShortCircuit
		t.Masquerade = t.Masquerade || !local
	case t.Pool.Local:
		t.Reason = LocalEndpoints
	}
	return t
}

// find returns the frontend for a packet: one of the very address, else a node port.
func (p *Plan) find(pkt Packet) (*Service, *Frontend) {
	exact := Key{pkt.To.Addr(), pkt.To.Port(), pkt.Protocol}
	nodePort := exact
	nodePort.Addr = netip.IPv6Unspecified()
	if pkt.To.Addr().Is4() {
		nodePort.Addr = netip.IPv4Unspecified()
	}
	isNodePort := p.Node.answersNodePorts(pkt.To.Addr())
	var service *Service
	var frontend *Frontend
	for _, s := range p.Services.All() {
		for i := range s.Frontends {
			switch f := &s.Frontends[i]; {
			case f.Key == exact:
				return s, f
			case isNodePort && f.Key == nodePort:
				service, frontend = s, f
			}
		}
	}
	return service, frontend
}

// answersNodePorts reports whether node ports are answered on an address.
func (n Node) answersNodePorts(a netip.Addr) bool {
	if slices.Contains(n.NodePorts.Addrs, a) {
		return true
	}
	return n.NodePorts.AnyLocal && !a.IsLoopback() && slices.Contains(n.LocalAddrs, a)
}

// withoutFrontend returns the trace of a packet that no frontend matches.
func (p *Plan) withoutFrontend(pkt Packet) Trace {
	for _, s := range p.Services.All() {
		if slices.Contains(s.ClusterIPs, pkt.To.Addr()) {
			return Trace{Verdict: Reject, Reason: NoSuchPort, Service: s.Ref}
		}
	}
	if contain(p.Node.ServiceCIDRs, pkt.To.Addr()) {
		return Trace{Verdict: Drop, Reason: UnallocatedClusterIP}
	}
	return Trace{Verdict: Pass, Reason: NotAService}
}

// recognise reports whether a packet is one of a pod on this node. A packet of the node itself comes in by no interface.
func (l LocalPods) recognise(pkt Packet) bool {
	if contain(l.Sources, pkt.From) {
		return true
	}
	if pkt.FromNode || pkt.InInterface == "" {
		return false
	}
	return pkt.InInterface == l.Interface ||
		l.InterfacePrefix != "" && strings.HasPrefix(pkt.InInterface, l.InterfacePrefix)
}

func contain(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}
