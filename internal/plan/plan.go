package plan

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Plan is what the kernel of one node must do with packets to Services. It is immutable.
type Plan struct {
	Services model.Table[model.Ref, *Service]
	Node     Node
}

// Node is the part of the plan that is the same for all Services.
type Node struct {
	// NodePorts says on which of the node's addresses node ports are answered.
	NodePorts NodePortAddresses
	// LocalPods says how traffic of this node's pods is recognised; zero: it cannot be told from other traffic.
	LocalPods LocalPods
	// ServiceCIDRs are the ranges of cluster IPs; packets to an address in them that no Service has are dropped.
	ServiceCIDRs []netip.Prefix
	// LocalAddrs are the node's own addresses, as far as known, in order. The kernel knows them better: they are here
	// for Trace, which has no kernel to ask.
	LocalAddrs []netip.Addr
	// MasqueradeBit is the bit of the packet mark that asks for masquerading, 0..31.
	MasqueradeBit uint8
	// DropInvalid asks for packets that conntrack calls INVALID not to be forwarded: untranslated, they would
	// make a client reset its connection (kubernetes/kubernetes#74839).
	DropInvalid bool
}

// NodePortAddresses selects the node's own addresses that answer on node ports.
type NodePortAddresses struct {
	// AnyLocal means every local address of either family except loopback.
	AnyLocal bool
	// Addrs are the addresses, of both families, in order; where AnyLocal is set, only the loopback addresses that
	// answer too. Loopback addresses are here only if the configuration names them.
	Addrs []netip.Addr
}

// LocalPods recognises traffic of pods on this node by source address or by interface (detectLocalMode).
type LocalPods struct {
	Sources         []netip.Prefix // ClusterCIDR and NodeCIDR modes
	Interface       string         // BridgeInterface mode
	InterfacePrefix string         // InterfaceNamePrefix mode
}

// Known reports whether pods' traffic can be recognised for family f.
func (l LocalPods) Known(f model.Family) bool {
	if l.Interface != "" || l.InterfacePrefix != "" {
		return true
	}
	for _, p := range l.Sources {
		if model.FamilyOf(p.Addr()) == f {
			return true
		}
	}
	return false
}

// Service is the plan for one Service.
type Service struct {
	Ref       model.Ref
	Frontends []Frontend
	Pools     []Pool // indexed by PoolID
	// ClusterIPs are the virtual IPs whose ports without a frontend are rejected.
	ClusterIPs []netip.Addr
	// Health is the health check node port; nil: none.
	Health *Health
	// Problems are the parts of the Service that cannot be honoured; they become Events.
	Problems []model.Problem
	// Triggered holds, for each slice that says so, when the change behind its present state happened.
	Triggered []time.Time
}

// Key is what a packet is matched on.
type Key struct {
	// Addr is the destination address; the family's unspecified address (0.0.0.0 or ::) means
	// each address that Node.NodePorts selects.
	Addr     netip.Addr
	Port     uint16
	Protocol model.Protocol
}

// AnyNode reports whether the key is that of a node port.
func (k Key) AnyNode() bool { return k.Addr.IsUnspecified() }

// Family returns the IP family of the packets that the key matches.
func (k Key) Family() model.Family { return model.FamilyOf(k.Addr) }

// String returns the key as "192.0.2.1:80/TCP", that of a node port as "nodePort 30080/TCP IPv4".
func (k Key) String() string {
	if k.AnyNode() {
		return fmt.Sprintf("nodePort %d/%s %s", k.Port, k.Protocol, k.Family())
	}
	return netip.AddrPortFrom(k.Addr, k.Port).String() + "/" + k.Protocol.String()
}

// Frontend is one address and port that a Service answers on.
type Frontend struct {
	Key Key
	// PortName is the name of the Service port, for logs, comments and explanations.
	PortName string
	Verdict  Verdict
	// Pool serves the frontend where Verdict is Forward; else NoPool.
	Pool PoolID
	// LocalClientPool, unless NoPool, serves clients on this node instead, whatever Verdict says: its pods with
	// their own address (where Node.LocalPods recognises them), and the node itself masqueraded.
	// It is the short-circuit of externalTrafficPolicy Local.
	LocalClientPool PoolID
	Masquerade      Masquerade
	// Sources are the client networks that may use the frontend, others are dropped; nil: everybody.
	// They are matched before any translation, and before Verdict.
	Sources []netip.Prefix
}

// Verdict is what happens to a packet that matches a frontend.
type Verdict uint8

// The verdicts.
const (
	Forward Verdict = iota // to an endpoint of the pool
	Reject                 // answered with ICMP port unreachable, so that the client fails at once
	Drop                   // silence: another node may answer, or nobody may
	Pass                   // only in a Trace: not a Service's packet, left alone
)

// String returns the verdict in lower case.
func (v Verdict) String() string { return [...]string{"forward", "reject", "drop", "pass"}[v] }

// Masquerade says whose source address is replaced by the node's, so that replies come back through this node.
type Masquerade uint8

// The masquerade rules. Hairpin traffic, a pod reaching itself, is always masqueraded.
const (
	MasqueradeNever      Masquerade = iota
	MasqueradeOffCluster            // sources that LocalPods does not recognise
	MasqueradeAlways
)

// String returns the rule in lower case.
func (m Masquerade) String() string { return [...]string{"never", "off-cluster", "always"}[m] }

// PoolID is the index of a pool in Service.Pools.
type PoolID int16

// NoPool is the PoolID that names no pool.
const NoPool PoolID = -1

// Pool is a set of endpoints among which connections are spread evenly.
type Pool struct {
	// PortName and Protocol name the Service port; pools of one port may differ in family and in policy.
	PortName string
	Protocol model.Protocol
	Family   model.Family
	// Local is true for the set of endpoints on this node that a Local traffic policy uses.
	Local bool
	// Affinity is how long after its last new connection a client address keeps its endpoint; 0: no affinity.
	// The memory is shared by all frontends of one Service port (family, PortName, Protocol).
	Affinity  time.Duration
	Endpoints []Endpoint
	// Quarantined are those that would be members if they answered this node. Only explanations look at them.
	Quarantined []Endpoint
}

// Endpoint is a member of a pool.
type Endpoint struct {
	Addr netip.AddrPort
	// Local is true for an endpoint on this node: traffic from it to itself must be masqueraded.
	Local bool
}

// Health is a health check node port: an HTTP server that tells load balancers whether this node has endpoints.
type Health struct {
	Port uint16
	// LocalReady counts the distinct ready, not terminating endpoint addresses on this node. Of a dual-stack Service
	// it is the count of the family that has more, so that a pod counts once.
	LocalReady int
}
