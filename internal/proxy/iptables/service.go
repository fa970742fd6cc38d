package iptables

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// kind is what a chain of a Service does.
type kind uint8

const (
	poolChain     kind = iota // spreads over the endpoints of a pool
	fromHereChain             // tells clients on this node from others
	firewallChain             // lets only some networks through
)

// owned is a chain that one Service has. What is in it depends on the Service and the node only.
type owned struct {
	name    string
	service *plan.Service
	kind    kind
	index   int16 // of the pool, or of the frontend
}

// renderer turns Services into rules. It is pure: the same Services give the same rules.
type renderer struct {
	rules
	// without names what the kernel cannot do, and is left out.
	without map[string]bool
	// odds are the matches that let one in n packets through.
	odds []string
}

// pool returns a pool of a Service, nil if there is none or nobody in it.
func pool(s *plan.Service, id plan.PoolID) *plan.Pool {
	if id == plan.NoPool || len(s.Pools[id].Endpoints) == 0 {
		return nil
	}
	return &s.Pools[id]
}

// owned appends the chains of a Service.
func (r *renderer) owned(list []owned, s *plan.Service) []owned {
	first := len(list)
	add := func(o owned) {
		for _, have := range list[first:] {
			if have.name == o.name {
				return
			}
		}
		list = append(list, o)
	}
	for i := range s.Frontends {
		f := &s.Frontends[i]
		if !r.serves(f) {
			continue
		}
		for _, id := range []plan.PoolID{f.Pool, f.LocalClientPool} {
			if p := pool(s, id); p != nil && (id == f.LocalClientPool || f.Verdict == plan.Forward) {
				add(owned{poolName(s.Ref, p), s, poolChain, int16(id)})
			}
		}
		if pool(s, f.LocalClientPool) != nil {
			add(owned{fromHereName(s, f), s, fromHereChain, int16(i)})
		}
		if f.Sources != nil {
			add(owned{firewallName(s, f), s, firewallChain, int16(i)})
		}
	}
	return list
}

// serves reports whether a frontend has rules in this family.
func (r *renderer) serves(f *plan.Frontend) bool {
	return f.Key.Family() == r.family && (f.Key.Protocol != model.SCTP || !r.without[matchSCTP])
}

func frontendName(s *plan.Service, f *plan.Frontend) string {
	return portName(s.Ref, f.PortName, f.Key.Protocol)
}

func fromHereName(s *plan.Service, f *plan.Frontend) string {
	return chainName(fromHere, frontendName(s, f), fmt.Sprintf("%d %d %s", f.LocalClientPool, f.Pool, f.Verdict))
}

func firewallName(s *plan.Service, f *plan.Frontend) string {
	return chainName(firewall, frontendName(s, f), f.Key.String())
}

// verdictTarget returns the chain for clients that the short-circuit does not concern.
func verdictTarget(s *plan.Service, f *plan.Frontend) string {
	switch p := pool(s, f.Pool); {
	case f.Verdict == plan.Drop:
		return silence
	case f.Verdict == plan.Reject || p == nil:
		return refuse
	default:
		return poolName(s.Ref, p)
	}
}

// admittedTarget returns the chain for clients that source ranges admit.
func admittedTarget(s *plan.Service, f *plan.Frontend) string {
	if pool(s, f.LocalClientPool) != nil {
		return fromHereName(s, f)
	}
	return verdictTarget(s, f)
}

// target returns the chain that a frontend leads to.
func target(s *plan.Service, f *plan.Frontend) string {
	if f.Sources != nil {
		return firewallName(s, f)
	}
	return admittedTarget(s, f)
}

// forwards reports whether any client of a frontend gets to an endpoint.
func forwards(s *plan.Service, f *plan.Frontend) bool {
	return f.Verdict == plan.Forward && pool(s, f.Pool) != nil || pool(s, f.LocalClientPool) != nil
}

// renderOwned writes the rules of a Service's chain.
func (r *renderer) renderOwned(t *text, o owned) {
	switch o.kind {
	case poolChain:
		p := &o.service.Pools[o.index]
		if p.Affinity > 0 && !r.without[matchRecent] {
			r.sticky(t, o.name, portName(o.service.Ref, p.PortName, p.Protocol), p)
		} else {
			r.spread(t, o.name, p)
		}
	case fromHereChain:
		r.here(t, o)
	case firewallChain:
		r.admit(t, o)
	}
}

// spread sends each connection to one of a pool's endpoints: the first of n with a chance of 1/n, the next of those that
// are left with 1/(n-1), and so on, so that all have the same share.
func (r *renderer) spread(t *text, chain string, p *plan.Pool) {
	of := ofProtocol(p.Protocol)
	for i, e := range p.Endpoints {
		t.begin(chain)
		t.buf = append(append(t.buf, ' '), of...)
		if left := len(p.Endpoints) - i; left > 1 {
			t.buf = append(append(t.buf, ' '), r.chance(left)...)
		}
		t.translate(e.Addr)
		t.end()
	}
}

// sticky does so for clients that have no endpoint yet, or whose endpoint is gone. Each endpoint has a list of the
// clients that it was chosen for, which goes with the last rule that names it.
func (r *renderer) sticky(t *text, chain, port string, p *plan.Pool) {
	of := ofProtocol(p.Protocol)
	mask := "255.255.255.255"
	if r.family == model.IPv6 {
		mask = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
	}
	seconds := strconv.Itoa(int(p.Affinity.Seconds()))
	lists := make([]string, len(p.Endpoints))
	for i, e := range p.Endpoints {
		lists[i] = clientList(chain, port, e.Addr) + " --mask " + mask + " --rsource"
	}
	for i, e := range p.Endpoints {
		t.begin(chain)
		t.buf = fmt.Appendf(t.buf, " %s -m recent --update --seconds %s --reap --name %s", of, seconds, lists[i])
		t.translate(e.Addr)
		t.end()
	}
	for i, e := range p.Endpoints {
		t.begin(chain)
		t.buf = append(append(t.buf, ' '), of...)
		if left := len(p.Endpoints) - i; left > 1 {
			t.buf = append(append(t.buf, ' '), r.chance(left)...)
		}
		t.buf = fmt.Appendf(t.buf, " -m recent --set --name %s", lists[i])
		t.translate(e.Addr)
		t.end()
	}
}

// clientList names the list of an endpoint's clients: a file below /proc/net/xt_recent, so there is no slash in it. The
// pools of a port, of all endpoints and of those on this node, remember separately: an endpoint elsewhere must not be
// used where the policy is Local.
func clientList(chain, port string, endpoint netip.AddrPort) string {
	return clientLists + digest(chain, port)[:10] + "-" + endpoint.String()
}

// clientLists begins the names of such lists.
const clientLists = perPrefix + "-"

func (t *text) translate(to netip.AddrPort) {
	t.buf = to.AppendTo(append(t.buf, " -j DNAT --to-destination "...))
}

func (r *renderer) chance(n int) string {
	for len(r.odds) <= n {
		r.odds = append(r.odds, probability(max(len(r.odds), 1)))
	}
	return r.odds[n]
}

// here sends clients on this node to a pool of their own: pods with their address, the node itself masqueraded.
func (r *renderer) here(t *text, o owned) {
	f := &o.service.Frontends[o.index]
	direct := goTo(poolName(o.service.Ref, pool(o.service, f.LocalClientPool)))
	for _, rule := range r.fromPods(direct) {
		t.rule(o.name, rule)
	}
	const fromNode = "-m addrtype --src-type LOCAL"
	t.rule(o.name, fromNode, jump(mark))
	t.rule(o.name, fromNode, direct)
	t.rule(o.name, goTo(verdictTarget(o.service, f)))
}

// admit lets only some networks through.
func (r *renderer) admit(t *text, o owned) {
	f := &o.service.Frontends[o.index]
	next := goTo(admittedTarget(o.service, f))
	for _, p := range f.Sources {
		if model.FamilyOf(p.Addr()) == r.family {
			t.rule(o.name, from(p), next)
		}
	}
	t.rule(o.name, goTo(silence))
}
