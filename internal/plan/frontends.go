package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/switchyard-net/switchyard/internal/model"
)

// port adds the frontends and pools of one Service port in one family.
func (b *builder) port(index int, port model.ServicePort, a addresses) {
	s := b.view.Service
	external := port.NodePort != 0 || len(a.external) > 0 || len(a.vips) > 0
	all := candidates(b.view.Slices, a.family, port, b.node.Config.NodeName)

	cluster := clusterSet(all, b.node.Config.NodeName, b.node.zone())
	sets := endpointSets{any: len(cluster) > 0, cluster: NoPool, local: NoPool}
	if !s.InternalLocal || external {
		sets.cluster = b.pool(port, a.family, false, cluster)
	}
	if s.InternalLocal || s.ExternalLocal && external {
		sets.local = b.pool(port, a.family, true, localSet(all))
	}

	b.add(index, b.internal(sets, port.Name, Key{a.clusterIP, port.Port, port.Protocol}))
	for _, ip := range a.external {
		b.add(index, b.external(sets, port.Name, Key{ip, port.Port, port.Protocol}))
	}
	for _, ip := range a.vips {
		f := b.external(sets, port.Name, Key{ip, port.Port, port.Protocol})
		f.Sources = a.sources
		b.addVIP(index, f)
	}
	if port.NodePort != 0 {
		anyNode := netip.IPv4Unspecified()
		if a.family == model.IPv6 {
			anyNode = netip.IPv6Unspecified()
		}
		b.add(index, b.external(sets, port.Name, Key{anyNode, port.NodePort, port.Protocol}))
	}
}

// endpointSets are the pools of one Service port in one family, and whether it has a usable endpoint on any node.
type endpointSets struct {
	any            bool
	cluster, local PoolID
}

// choose returns the verdict and the pool of a traffic policy. No endpoint anywhere is refused at once; none on this
// node is silence, as another node may answer.
func (e endpointSets) choose(local bool) (Verdict, PoolID) {
	pool := e.cluster
	if local {
		pool = e.local
	}
	switch {
	case !e.any:
		return Reject, NoPool
	case pool == NoPool:
		return Drop, NoPool
	}
	return Forward, pool
}

// internal returns the frontend of a cluster IP.
func (b *builder) internal(sets endpointSets, portName string, k Key) Frontend {
	f := Frontend{Key: k, PortName: portName, LocalClientPool: NoPool}
	f.Verdict, f.Pool = sets.choose(b.view.Service.InternalLocal)
	switch {
	case b.node.Config.MasqueradeAll:
		f.Masquerade = MasqueradeAlways
	case b.node.localPods().Known(k.Family()):
		f.Masquerade = MasqueradeOffCluster
	}
	return f
}

// external returns the frontend of a node port, an external IP or a load-balancer address. With the policy Local the
// client's address is kept, and clients on this node use the cluster's endpoints, as if their packets had gone out
// to a load balancer and come back through any node.
func (b *builder) external(sets endpointSets, portName string, k Key) Frontend {
	f := Frontend{Key: k, PortName: portName, LocalClientPool: NoPool}
	f.Verdict, f.Pool = sets.choose(b.view.Service.ExternalLocal)
	if b.view.Service.ExternalLocal {
		f.LocalClientPool = sets.cluster
	} else {
		f.Masquerade = MasqueradeAlways
	}
	return f
}

// pool adds a pool and returns its id; a set without endpoints has none.
func (b *builder) pool(port model.ServicePort, family model.Family, local bool, set []candidate) PoolID {
	if len(set) == 0 {
		return NoPool
	}
	stay, leave := b.node.Silent.split(set)
	p := Pool{
		PortName: port.Name, Protocol: port.Protocol, Family: family, Local: local,
		Affinity:  b.view.Service.AffinityTimeout,
		Endpoints: make([]Endpoint, len(stay)),
	}
	for i, c := range stay {
		p.Endpoints[i] = Endpoint{Addr: c.addr, Local: c.local}
	}
	for _, c := range leave {
		p.Quarantined = append(p.Quarantined, Endpoint{Addr: c.addr, Local: c.local})
	}
	b.out.Pools = append(b.out.Pools, p)
	return PoolID(len(b.out.Pools) - 1)
}

// add adds a frontend unless its key is taken: two ports of a Service with the same number and protocol, or an external
// IP that is the cluster IP.
func (b *builder) add(port int, f Frontend) {
	if b.find(f.Key) != nil {
		b.problem(fmt.Sprintf("spec.ports[%d]", port), "%s is claimed twice by this Service; the first claim is served", f.Key)
		return
	}
	b.out.Frontends = append(b.out.Frontends, f)
}

// addVIP adds the frontend of a load-balancer address. One that is also an external IP of this Service gets the source
// ranges on top.
func (b *builder) addVIP(port int, f Frontend) {
	if old := b.find(f.Key); old != nil && !slices.Contains(b.out.ClusterIPs, f.Key.Addr) && old.Sources == nil {
		old.Sources = f.Sources
		return
	}
	b.add(port, f)
}

func (b *builder) find(k Key) *Frontend {
	for i := range b.out.Frontends {
		if b.out.Frontends[i].Key == k {
			return &b.out.Frontends[i]
		}
	}
	return nil
}
