package nftables

import (
	"fmt"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// DefaultTable is the name of our table in both families.
const DefaultTable = "switchyard"

// HandoverTable is the name of our table in both families in the userspace mode.
const HandoverTable = "switchyard-userspace"

// setID says which of a table's sets elements belong to.
type setID int

// The sets whose elements the plan decides. Endpoints come first: see apply.
const (
	endpoints setID = iota
	localEndpoints
	nodePortEndpoints
	localNodePortEndpoints
	frontends
	nodePorts
	learn
	learnNodePorts
	clusterIPs
	hairpins
	nodePortAddresses
	setCount
)

// holdsEndpoints reports whether elements are endpoints: without a frontend that leads to them they do nothing.
func (id setID) holdsEndpoints() bool { return id <= localNodePortEndpoints }

// affinity is the map that packets fill; it is not among those above, as the plan does not decide its elements.
const (
	affinity = "affinity"
	// affinitySize bounds the memory of affinity in the kernel, at about 150 bytes each.
	affinitySize = 1 << 18
	// affinityTimeout holds for elements without a timeout of their own, of which there are none.
	affinityTimeout = 3 * time.Hour
)

// The chains that every table has.
const (
	prerouting       = "prerouting"
	output           = "output"
	services         = "services"
	refuse           = "refuse"
	postrouting      = "postrouting"
	learnPostrouting = "learn-postrouting"
	learnInput       = "learn-input"
	learnChain       = "learn"
	forward          = "forward"
)

// tableSets returns the sets of a family's table, indexed by setID, and the affinity map after them.
func tableSets(f nft.Family) []nft.Set {
	address, protocol, port, index := nft.DestinationAddress(f), nft.Protocol(), nft.Port(), nft.Number()
	vip := []nft.Field{address, protocol, port}
	anyNode := []nft.Field{protocol, port}
	endpoint := []nft.Field{address, port}
	indexed := func(key []nft.Field) []nft.Field { return append(append([]nft.Field(nil), key...), index) }
	sets := make([]nft.Set, setCount, setCount+1)
	sets[endpoints] = nft.NewMap("endpoints",
		"address . protocol . port . index : endpoint", indexed(vip), endpoint)
	sets[localEndpoints] = nft.NewMap("local-endpoints",
		"as endpoints, only those on this node", indexed(vip), endpoint)
	sets[nodePortEndpoints] = nft.NewMap("node-port-endpoints",
		"protocol . node port . index : endpoint", indexed(anyNode), endpoint)
	sets[localNodePortEndpoints] = nft.NewMap("local-node-port-endpoints",
		"as node-port-endpoints, only those on this node", indexed(anyNode), endpoint)
	sets[frontends] = nft.NewVerdictMap("frontends",
		"addresses and ports of Services", vip...)
	sets[nodePorts] = nft.NewVerdictMap("node-ports",
		"node ports of Services", anyNode...)
	sets[learn] = nft.NewVerdictMap("learn",
		"frontends with session affinity, and others not to be taken for node ports", vip...)
	sets[learnNodePorts] = nft.NewVerdictMap("learn-node-ports",
		"node ports with session affinity", anyNode...)
	sets[clusterIPs] = nft.NewSet("cluster-ips",
		"cluster IPs of Services: other ports are refused", address)
	sets[hairpins] = nft.NewSet("hairpins",
		"local endpoints that reach themselves through a Service", nft.SourceAddress(f), address)
	sets[nodePortAddresses] = nft.NewSet("node-port-addresses",
		"addresses of this node that answer on node ports", address)
	return append(sets, nft.NewDynamicMap(affinity, "client . Service port : endpoint it was sent to last",
		[]nft.Field{nft.SourceAddress(f), index}, endpoint, affinitySize, affinityTimeout))
}

// portName names a Service port for chains and for the identity of its affinity.
func portName(ref model.Ref, p *plan.Pool) string {
	name := fmt.Sprintf("%s/%s/%s", ref.Namespace, ref.Name, protocolName(p.Protocol))
	if p.PortName != "" {
		name += "/" + p.PortName
	}
	return name
}

func protocolName(p model.Protocol) string {
	switch p {
	case model.TCP:
		return "tcp"
	case model.UDP:
		return "udp"
	}
	return "sctp"
}

// poolKind begins the names of chains that serve a pool: node ports are looked up without an address, and local pools
// in maps of their own.
func poolKind(p *plan.Pool, anyNode bool) string {
	kind := ""
	if p.Local {
		kind = "local-"
	}
	if anyNode {
		kind += "node-port-"
	}
	return kind
}

// poolSet returns the map that holds a pool's endpoints for a frontend.
func poolSet(p *plan.Pool, anyNode bool) setID {
	id := endpoints
	if anyNode {
		id = nodePortEndpoints
	}
	if p.Local {
		id++
	}
	return id
}
