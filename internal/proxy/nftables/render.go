package nftables

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// renderer turns Services into a ruleset. It is pure: the same Services give the same ruleset.
type renderer struct {
	rules
	ids     *affinityIDs
	symbols *symbols
	built   map[string]*chain // chains that are not a Service's own
	out     *ruleset
	service *plan.Service // being rendered
}

// static adds what the table has without any Service.
func (r *renderer) static() {
	for _, c := range r.rules.static() {
		r.use(c.Name, func() *chain { return c })
	}
	set := &r.out.elements[nodePortAddresses]
	if r.node.NodePorts.AnyLocal {
		return
	}
	for _, a := range r.node.NodePorts.Addrs {
		if model.FamilyOf(a) == r.model() && !a.IsLoopback() {
			set.buf = append(set.buf, a.Unmap().AsSlice()...)
		}
	}
}

// reserve makes room for the endpoints of a whole plan, which are nearly all that there is.
func (r *renderer) reserve(p *plan.Plan) {
	var counts [setCount]int
	for _, s := range p.Services.All() {
		for _, f := range s.Frontends {
			for _, id := range []plan.PoolID{f.Pool, f.LocalClientPool} {
				if id != plan.NoPool && f.Key.Family() == r.model() && !r.handsOver(f.Key.Protocol) {
					counts[poolSet(&s.Pools[id], f.Key.AnyNode())] += len(s.Pools[id].Endpoints)
				}
			}
		}
	}
	for id := range r.out.elements {
		set := &r.out.elements[id]
		set.buf = make([]byte, 0, counts[id]*set.width())
	}
}

// render adds a Service.
func (r *renderer) render(s *plan.Service) {
	r.service = s
	for _, a := range s.ClusterIPs {
		if model.FamilyOf(a) == r.model() {
			r.out.counted[countedKey{clusterIPs, a.Unmap()}]++
		}
	}
	for i := range s.Frontends {
		if s.Frontends[i].Key.Family() == r.model() {
			r.frontend(i)
		}
	}
	for i := range s.Pools {
		if s.Pools[i].Family == r.model() && !r.handsOver(s.Pools[i].Protocol) {
			r.hairpins(&s.Pools[i])
		}
	}
}

func (r *renderer) hairpins(p *plan.Pool) {
	for _, e := range p.Endpoints {
		if e.Local {
			r.out.counted[countedKey{hairpins, e.Addr.Addr().Unmap()}]++
		}
	}
}

// use counts a chain's use and, the first time, adds what build returns.
func (r *renderer) use(name string, build func() *chain) string {
	c, ok := r.out.chains[name]
	if !ok {
		c = r.chain(name, build)
		r.out.chains[name] = c
	}
	c.uses++
	return name
}

// chain returns a chain without uses. Those that are not a Service's own are built only once: the name says what is in
// them, as long as the node stays the same.
func (r *renderer) chain(name string, build func() *chain) *chain {
	if c := r.built[name]; c != nil {
		return &chain{Chain: c.Chain, rules: c.rules}
	}
	c := build()
	for i := range c.rules {
		c.rules[i].Chain = name
		c.rules[i] = c.rules[i].WithDigest()
	}
	if !strings.Contains(name, "/") {
		r.built[name] = &chain{Chain: c.Chain, rules: c.rules}
	}
	return c
}

// named returns a chain without a hook.
func named(name, comment string, list ...nft.Rule) *chain {
	return &chain{Chain: nft.Chain{Name: name, Comment: comment}, rules: list}
}

func (r *renderer) pool(id plan.PoolID) *plan.Pool {
	if id == plan.NoPool || len(r.service.Pools[id].Endpoints) == 0 {
		return nil
	}
	return &r.service.Pools[id]
}

// frontend adds the elements of a frontend, and the chains that its verdict leads through.
func (r *renderer) frontend(index int) {
	f := &r.service.Frontends[index]
	var verdict nft.Verdict
	if r.handsOver(f.Key.Protocol) {
		verdict = r.handedOver(f)
	} else {
		verdict = r.translated(f)
		r.learnFrontend(f)
	}
	if f.Sources != nil {
		verdict = r.firewall(index, f.Sources, verdict)
	}
	set := frontends
	if f.Key.AnyNode() {
		set = nodePorts
	}
	r.verdict(set, f.Key, verdict)
}

// translated adds the endpoints of a frontend, and returns what happens to its packets.
func (r *renderer) translated(f *plan.Frontend) nft.Verdict {
	verdict := r.others(f)
	if here := r.pool(f.LocalClientPool); here != nil {
		verdict = r.fromHere(f, here, verdict)
		r.endpoints(f.Key, here)
	}
	if f.Verdict == plan.Forward {
		if p := r.pool(f.Pool); p != nil {
			r.endpoints(f.Key, p)
		}
	}
	return verdict
}

// others returns what happens to packets that the short-circuit for local clients does not concern.
func (r *renderer) others(f *plan.Frontend) nft.Verdict {
	switch p := r.pool(f.Pool); {
	case f.Verdict == plan.Drop:
		return nft.Verdict{Code: nft.Drop}
	case f.Verdict == plan.Reject || p == nil:
		return nft.Verdict{Code: nft.Goto, Chain: refuse}
	default:
		target := r.target(p, f.Key.AnyNode())
		switch f.Masquerade {
		case plan.MasqueradeAlways:
			target = r.masquerade(target)
		case plan.MasqueradeOffCluster:
			target = r.offCluster(target)
		}
		return nft.Verdict{Code: nft.Goto, Chain: target}
	}
}

// target returns the chain that sends connections to a pool's endpoints.
func (r *renderer) target(p *plan.Pool, anyNode bool) string {
	limit, kind, set := class(len(p.Endpoints)), poolKind(p, anyNode), poolSet(p, anyNode)
	name := fmt.Sprintf("%sendpoints-up-to-%d", kind, limit)
	if limit <= 2 {
		name = fmt.Sprintf("%sendpoints-%d", kind, limit)
	}
	r.use(name, func() *chain {
		setName := [...]string{"endpoints", "local-endpoints", "node-port-endpoints", "local-node-port-endpoints"}[set]
		return named(name, "", r.spread(setName, anyNode, limit)...)
	})
	if p.Affinity == 0 {
		return name
	}
	port := portName(r.service.Ref, p)
	return r.use(kind+"affinity-"+port, func() *chain {
		id := r.ids.of(port, p.Local)
		return named(kind+"affinity-"+port, "the endpoint that the client had before, if any",
			r.remembered(id), rule("", goTo(name)))
	})
}

func (r *renderer) masquerade(target string) string {
	name := "masquerade-" + target
	return r.use(name, func() *chain {
		return named(name, "", rule("", r.mark()), rule("", goTo(target)))
	})
}

// offCluster masquerades what does not come from this node's pods.
func (r *renderer) offCluster(target string) string {
	name := "off-cluster-" + target
	return r.use(name, func() *chain {
		return named(name, "masquerade clients that are not pods of this node",
			rule("", r.fromPods(true)[0], r.mark()), rule("", goTo(target)))
	})
}

// fromHere sends clients on this node to a pool, whatever happens to others.
func (r *renderer) fromHere(f *plan.Frontend, here *plan.Pool, others nft.Verdict) nft.Verdict {
	target := r.target(here, f.Key.AnyNode())
	masqueraded := r.masquerade(target)
	direct := target
	if f.Masquerade == plan.MasqueradeAlways {
		direct = masqueraded
	}
	name := "from-here-" + direct + "-else-" + elseName(others)
	if here.Affinity != 0 {
		// The name of the port twice could be longer than a chain's name may be.
		for _, suffix := range []string{"-affinity-" + portName(r.service.Ref, here), "-node-port"} {
			name = strings.TrimSuffix(name, suffix)
		}
	}
	r.use(name, func() *chain {
		c := named(name, "clients on this node use endpoints of the whole cluster")
		for _, pods := range r.fromPods(false) {
			c.rules = append(c.rules, rule("", pods, goTo(direct)))
		}
		c.rules = append(c.rules, rule("", fromNode(), goTo(masqueraded)), rule("", exprs(nft.Take(others))))
		return c
	})
	return nft.Verdict{Code: nft.Goto, Chain: name}
}

// elseName names a verdict in a chain's name.
func elseName(v nft.Verdict) string {
	if v.Chain != "" {
		return v.Chain
	}
	return v.String()
}

// firewall lets only some networks through to a verdict.
func (r *renderer) firewall(index int, sources []netip.Prefix, verdict nft.Verdict) nft.Verdict {
	name := fmt.Sprintf("clients-of-%s/%s/%d", r.service.Ref.Namespace, r.service.Ref.Name, index)
	r.use(name, func() *chain {
		c := named(name, "only these may use the Service here")
		for _, p := range sources {
			if model.FamilyOf(p.Addr()) == r.model() {
				c.rules = append(c.rules, rule("", exprs(nft.LoadSource(r.family, 0)), nft.InPrefix(0, p, false), exprs(nft.Take(verdict))))
			}
		}
		c.rules = append(c.rules, rule("", drop()))
		return c
	})
	return nft.Verdict{Code: nft.Goto, Chain: name}
}

// endpoints adds a pool's endpoints for a frontend.
func (r *renderer) endpoints(k plan.Key, p *plan.Pool) {
	set := &r.out.elements[poolSet(p, k.AnyNode())]
	for i, e := range p.Endpoints {
		set.buf = binary.NativeEndian.AppendUint32(appendKey(set.buf, k), uint32(i))
		set.buf = appendEndpoint(set.buf, e.Addr)
	}
}

func (r *renderer) verdict(id setID, k plan.Key, v nft.Verdict) {
	set := &r.out.elements[id]
	set.buf = r.symbols.record(appendKey(set.buf, k), v)
}

// appendKey appends address . protocol . port; a node port has no address.
func appendKey(buf []byte, k plan.Key) []byte {
	if !k.AnyNode() {
		buf = appendAddr(buf, k.Addr)
	}
	return append(buf, byte(k.Protocol), 0, 0, 0, byte(k.Port>>8), byte(k.Port), 0, 0)
}

func appendEndpoint(buf []byte, e netip.AddrPort) []byte {
	buf = appendAddr(buf, e.Addr())
	return append(buf, byte(e.Port()>>8), byte(e.Port()), 0, 0)
}

func appendAddr(buf []byte, a netip.Addr) []byte {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return append(buf, b[:]...)
	}
	b := a.As16()
	return append(buf, b[:]...)
}
