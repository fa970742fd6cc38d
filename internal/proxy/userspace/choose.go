package userspace

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/relay"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// The classes of clients, in the order of the listeners' ports: who the packet rules say that the client is.
const (
	classPod  = iota // plan.Node.LocalPods recognises it
	classNode        // a process of the node itself
	classOther
	classes
)

// router is the relay.Router of the mode.
type router struct {
	table    *table
	affinity *affinity
	health   *health
}

func protocolOf(udp bool) model.Protocol {
	if udp {
		return model.UDP
	}
	return model.TCP
}

// choice is what the plan says about a client.
type choice struct {
	service    *plan.Service
	pool       *plan.Pool
	masquerade bool
}

// decide does for a client what plan.Trace does for a packet, as far as that is left to decide here.
func (r *router) decide(c relay.Client) (choice, bool) {
	e, ok := r.table.find(c.Destination, protocolOf(c.UDP))
	if !ok {
		return choice{}, false
	}
	f, id := e.frontend, e.frontend.Pool
	pod := c.Class == classPod
	shortCircuit := f.LocalClientPool != plan.NoPool && c.Class != classOther
	if shortCircuit {
		id = f.LocalClientPool
	} else if f.Verdict != plan.Forward {
		id = plan.NoPool
	}
	if id == plan.NoPool {
		return choice{}, false
	}
	masquerade := f.Masquerade == plan.MasqueradeAlways || f.Masquerade == plan.MasqueradeOffCluster && !pod
	return choice{e.service, &e.service.Pools[id], masquerade || shortCircuit && !pod}, true
}

// Next is relay.Router's.
func (r *router) Next(c relay.Client, tried []netip.AddrPort) (relay.Target, bool) {
	d, ok := r.decide(c)
	if !ok {
		return relay.Target{}, false
	}
	var memory affinityKey
	now := time.Time{}
	if d.pool.Affinity > 0 {
		memory, now = affinityKeyOf(d, c), time.Now()
		if last, ok := r.affinity.get(memory, now); ok && r.suits(d.pool, last, tried, c.UDP) {
			r.affinity.put(memory, last, now.Add(d.pool.Affinity))
			return target(c, d, find(d.pool, last)), true
		}
	}
	e, ok := r.pick(d.pool, tried, c.UDP)
	if !ok {
		return relay.Target{}, false
	}
	if d.pool.Affinity > 0 {
		r.affinity.put(memory, e.Addr, now.Add(d.pool.Affinity))
	}
	return target(c, d, e), true
}

// target returns the way to an endpoint: with the client's address, unless the plan wants it replaced, or nothing could
// come back to it.
func target(c relay.Client, d choice, e plan.Endpoint) relay.Target {
	t := relay.Target{Endpoint: e.Addr}
	hairpin := e.Local && e.Addr.Addr() == c.Source.Addr()
	if !d.masquerade && !hairpin && !c.Source.Addr().IsLoopback() {
		t.Source = c.Source.Addr()
	}
	return t
}

func find(p *plan.Pool, addr netip.AddrPort) plan.Endpoint {
	i := slices.IndexFunc(p.Endpoints, func(e plan.Endpoint) bool { return e.Addr == addr })
	return p.Endpoints[i]
}

// suits reports whether a remembered endpoint can be used.
func (r *router) suits(p *plan.Pool, addr netip.AddrPort, tried []netip.AddrPort, udp bool) bool {
	return contains(p, addr) && !slices.Contains(tried, addr) && !r.health.out(addr, udp)
}

func contains(p *plan.Pool, addr netip.AddrPort) bool {
	return slices.ContainsFunc(p.Endpoints, func(e plan.Endpoint) bool { return e.Addr == addr })
}

// draws is how often an endpoint is drawn at random before the pool is searched from a random place on.
const draws = 4

// pick returns an endpoint that was not tried yet, at random: one that answers, or if there is none, any.
func (r *router) pick(p *plan.Pool, tried []netip.AddrPort, udp bool) (plan.Endpoint, bool) {
	n := len(p.Endpoints)
	if n == 0 {
		return plan.Endpoint{}, false
	}
	for _, lenient := range []bool{false, true} {
		fits := func(e plan.Endpoint) bool {
			return !slices.Contains(tried, e.Addr) && (lenient || !r.health.out(e.Addr, udp)) &&
				!r.table.isFrontend(e.Addr, p.Protocol)
		}
		for range draws {
			if e := p.Endpoints[rand.IntN(n)]; fits(e) {
				return e, true
			}
		}
		start := rand.IntN(n)
		for i := range n {
			if e := p.Endpoints[(start+i)%n]; fits(e) {
				return e, true
			}
		}
	}
	return plan.Endpoint{}, false
}

// Serves is relay.Router's.
func (r *router) Serves(c relay.Client, endpoint netip.AddrPort) bool {
	d, ok := r.decide(c)
	return ok && contains(d.pool, endpoint)
}

// Failed is relay.Router's.
func (r *router) Failed(endpoint netip.AddrPort, udp bool, reason error) {
	r.health.failed(endpoint, udp, reason)
}

// Connected is relay.Router's.
func (r *router) Connected(endpoint netip.AddrPort) { r.health.connected(endpoint) }

// Heard is relay.Router's.
func (r *router) Heard(endpoint netip.AddrPort) { r.health.heard(endpoint) }

// Silent is relay.Router's.
func (r *router) Silent(endpoint netip.AddrPort) { r.health.silent(endpoint) }
