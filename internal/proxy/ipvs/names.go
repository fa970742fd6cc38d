package ipvs

import (
	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/model"
)

// setID says which of a family's ipsets an entry belongs to.
type setID int

// The sets. Those that say more about frontends come before the frontends themselves: they are filled first.
const (
	sources setID = iota
	frontendsHere
	nodePortsHere
	hairpins
	nodeAddresses
	frontends
	nodePorts
	clusterIPs
	setCount
)

// familySets returns a family's sets, indexed by setID. The 1 in their names is their version: sets of another make
// could not be changed into these.
func familySets(f model.Family) []ipset.Set {
	prefix := "switchyard-1-4-"
	if f == model.IPv6 {
		prefix = "switchyard-1-6-"
	}
	sets := make([]ipset.Set, setCount)
	for id, s := range map[setID]ipset.Set{
		sources:       {Name: "sources", Kind: ipset.NetPortNet},
		frontendsHere: {Name: "frontends-h", Kind: ipset.NetPort, Marks: true},
		nodePortsHere: {Name: "node-ports-h", Kind: ipset.NetPort, Marks: true},
		hairpins:      {Name: "hairpins", Kind: ipset.NetNet},
		nodeAddresses: {Name: "node-addrs", Kind: ipset.IP},
		frontends:     {Name: "frontends", Kind: ipset.NetPort, Marks: true},
		nodePorts:     {Name: "node-ports", Kind: ipset.NetPort, Marks: true},
		clusterIPs:    {Name: "cluster-ips", Kind: ipset.IP},
	} {
		s.Name, s.Family = prefix+s.Name, f
		sets[id] = s
	}
	return sets
}

// prefix begins the names of all our iptables chains.
const prefix = "SWITCHYARD-IPVS"

// The chains. Those with a hook are jumped to from the chain of that name.
const (
	chainArriving  = prefix + "-PREROUTING" // mangle
	chainSent      = prefix + "-OUTPUT"     // mangle
	chainLeaving   = prefix + "-LEAVING"    // mangle
	chainServices  = prefix                 // mangle
	chainFrontend  = prefix + "-FRONTEND"   // mangle
	chainNodePort  = prefix + "-NODEPORT"   // mangle
	chainHere      = prefix + "-HERE"       // mangle, for frontends
	chainHerePort  = prefix + "-HEREPORT"   // mangle, for node ports
	chainMarked    = prefix + "-MARKED"     // mangle
	chainOff       = prefix + "-OFF"        // mangle
	chainRefused   = prefix + "-REFUSED"    // mangle
	chainReject    = prefix + "-REJECT"     // filter
	chainForward   = prefix + "-FORWARD"    // filter
	chainPort      = prefix + "-PORT"       // nat
	chainPostroute = prefix + "-POST"       // nat
)
