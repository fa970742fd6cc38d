package ipvs

import (
	"net/netip"
	"slices"

	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// state is what one family's sets and virtual servers hold, or that part of it which some Services need.
type state struct {
	entries [setCount][]ipset.Entry
	// counted are entries that several Services may ask for: they are there as long as one does.
	counted map[countedEntry]int
	pools   map[uint32]*server // by mark
}

// countedEntry is an entry of clusterIPs or hairpins.
type countedEntry struct {
	set  setID
	addr netip.Addr
}

func (c countedEntry) entry() ipset.Entry {
	if c.set == hairpins {
		return ipset.Entry{Net: single(c.addr), Peer: single(c.addr)}
	}
	return ipset.Entry{Net: single(c.addr)}
}

// server is a virtual server.
type server struct {
	ipvs.Service
	// graceful is true for a protocol whose connections outlive the removal of their endpoint.
	graceful bool
	// endpoints are the real servers, in order.
	endpoints []netip.AddrPort
}

func newState() *state {
	return &state{counted: map[countedEntry]int{}, pools: map[uint32]*server{}}
}

// addCounted turns what is counted into entries.
func (s *state) addCounted() {
	for c := range s.counted {
		s.entries[c.set] = append(s.entries[c.set], c.entry())
	}
}

func (s *state) sort() {
	for id := range s.entries {
		slices.SortFunc(s.entries[id], ipset.Entry.Compare)
	}
}

// renderer turns Services into a state. It is pure but for the numbers that it gives to new pools.
type renderer struct {
	layout
	family    *family
	scheduler string
	out       *state
	service   *plan.Service // being rendered
}

// render adds a Service.
func (r *renderer) render(s *plan.Service) {
	r.service = s
	for _, a := range s.ClusterIPs {
		if model.FamilyOf(a) == r.family.model {
			r.out.counted[countedEntry{clusterIPs, a.Unmap()}]++
		}
	}
	for i := range s.Frontends {
		if s.Frontends[i].Key.Family() == r.family.model {
			r.frontend(&s.Frontends[i])
		}
	}
	for i := range s.Pools {
		if s.Pools[i].Family != r.family.model {
			continue
		}
		for _, e := range s.Pools[i].Endpoints {
			if e.Local {
				r.out.counted[countedEntry{hairpins, e.Addr.Addr().Unmap()}]++
			}
		}
	}
}

// frontend adds the entries of a frontend, and the virtual servers of its pools.
func (r *renderer) frontend(f *plan.Frontend) {
	mark := r.others(f)
	set, setHere := frontends, frontendsHere
	if f.Key.AnyNode() {
		set, setHere = nodePorts, nodePortsHere
	}
	if here := r.pool(f.LocalClientPool); here != nil {
		mark |= r.here
		markHere := r.target(here)
		if f.Masquerade == plan.MasqueradeAlways {
			markHere |= r.masquerade
		}
		r.add(setHere, f.Key, markHere)
	}
	if f.Sources != nil {
		mark |= r.sources
		r.firewall(f)
	}
	r.add(set, f.Key, mark)
}

// others returns the mark of packets that the short-circuit for local clients does not concern.
func (r *renderer) others(f *plan.Frontend) uint32 {
	switch p := r.pool(f.Pool); {
	case f.Verdict == plan.Drop:
		return r.mark(idDrop, 0)
	case f.Verdict == plan.Reject || p == nil:
		return r.mark(idReject, 0)
	case f.Masquerade == plan.MasqueradeAlways:
		return r.target(p) | r.masquerade
	case f.Masquerade == plan.MasqueradeOffCluster:
		return r.target(p) | r.offCluster
	default:
		return r.target(p)
	}
}

func (r *renderer) pool(id plan.PoolID) *plan.Pool {
	if id == plan.NoPool || len(r.service.Pools[id].Endpoints) == 0 {
		return nil
	}
	return &r.service.Pools[id]
}

// target returns the mark of a pool's virtual server, and adds that.
func (r *renderer) target(p *plan.Pool) uint32 {
	port := uint32(0)
	if p.Affinity > 0 {
		port = r.family.ports.of(commonPort(p))
	}
	mark := r.mark(r.family.ids.of(keyOf(r.service.Ref, p)), port)
	if r.out.pools[mark] != nil {
		return mark
	}
	s := &server{graceful: p.Protocol != model.UDP, endpoints: make([]netip.AddrPort, len(p.Endpoints))}
	s.Service = ipvs.Service{Key: ipvs.Key{Family: p.Family, Mark: mark}, Scheduler: r.scheduler}
	if port != 0 {
		s.Persistence = p.Affinity
	}
	for i, e := range p.Endpoints {
		s.endpoints[i] = netip.AddrPortFrom(e.Addr.Addr().Unmap(), e.Addr.Port())
	}
	slices.SortFunc(s.endpoints, netip.AddrPort.Compare)
	s.endpoints = slices.Compact(s.endpoints)
	r.out.pools[mark] = s
	return mark
}

func keyOf(ref model.Ref, p *plan.Pool) poolKey { return poolKey{ref, p.PortName, p.Protocol, p.Local} }

// commonPort returns the port of all endpoints of a pool; 0: they have several.
func commonPort(p *plan.Pool) uint16 {
	port := p.Endpoints[0].Addr.Port()
	for _, e := range p.Endpoints {
		if e.Addr.Port() != port {
			return 0
		}
	}
	return port
}

// add adds a frontend to a set.
func (r *renderer) add(id setID, k plan.Key, mark uint32) {
	for _, n := range keyNetworks(k) {
		e := ipset.Entry{Net: n, Protocol: uint8(k.Protocol), Port: k.Port, Mark: mark}
		r.out.entries[id] = append(r.out.entries[id], e)
	}
}

// firewall adds the clients that may use a frontend.
func (r *renderer) firewall(f *plan.Frontend) {
	for _, source := range f.Sources {
		if model.FamilyOf(source.Addr()) != r.family.model {
			continue
		}
		for _, peer := range networks(source.Masked()) {
			for _, n := range keyNetworks(f.Key) {
				e := ipset.Entry{Net: n, Protocol: uint8(f.Key.Protocol), Port: f.Key.Port, Peer: peer}
				r.out.entries[sources] = append(r.out.entries[sources], e)
			}
		}
	}
}

// keyNetworks returns the destinations of a frontend: a node port has every address.
func keyNetworks(k plan.Key) []netip.Prefix {
	if k.AnyNode() {
		return networks(netip.PrefixFrom(k.Addr, 0))
	}
	return []netip.Prefix{single(k.Addr)}
}

// static adds what is there without any Service.
func (r *renderer) static(n plan.Node) {
	if n.NodePorts.AnyLocal {
		return
	}
	for _, a := range n.NodePorts.Addrs {
		if model.FamilyOf(a) == r.family.model && !a.IsLoopback() {
			r.out.entries[nodeAddresses] = append(r.out.entries[nodeAddresses], ipset.Entry{Net: single(a)})
		}
	}
}
