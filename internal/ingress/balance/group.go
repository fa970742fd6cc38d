package balance

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// Group is the endpoints of a Backend at one moment, for all locations that go there, however each of them balances.
type Group struct {
	name      string // ingress-nginx's, which session cookies are made of
	pool      *route.Pool
	addresses *addresses // of an ExternalName; nil: the pool's endpoints
	endpoints []*Endpoint
	config    *Config

	ringOnce sync.Once
	ring     []point // for consistent hashing
	keysOnce sync.Once
	keys     map[string]*Endpoint // for persistent sessions
	// turn is that of round robin; ewma is set once someone balances by response times. Both are kept over changes of the pool.
	turn *atomic.Uint32
	ewma *atomic.Bool
}

// Request is what choosing needs of a request; one is used again after Reset.
type Request struct {
	// Upstream says how to balance; nil: by least requests.
	Upstream *settings.Upstream
	// Key is what a consistent hash is of; empty: there is none.
	Key []byte
	// tried are the endpoints that have been chosen before.
	tried []*Endpoint
}

// Reset makes r that of another request.
func (r *Request) Reset() {
	r.Upstream, r.Key = nil, nil
	clear(r.tried)
	r.tried = r.tried[:0]
}

// balance is how to balance.
func (r *Request) balance() settings.Balance {
	if r.Upstream == nil {
		return settings.LeastRequests
	}
	return r.Upstream.Balance
}

// Tries returns how many endpoints have been chosen for r.
func (r *Request) Tries() int { return len(r.tried) }

func (r *Request) has(e *Endpoint) bool {
	for _, t := range r.tried {
		if t == e {
			return true
		}
	}
	return false
}

func newGroup(b *Balancer, backend *route.Backend, pool *route.Pool, found *addresses) *Group {
	return &Group{name: upstreamName(backend), pool: pool, addresses: found, config: &b.config}
}

// prepare takes over what outlives old, the group before, and gives new endpoints a place among the others: the response time of
// the average, so that ewma does not send all requests to them at once.
func (g *Group) prepare(old *Group) {
	if old == nil {
		g.turn, g.ewma = new(atomic.Uint32), new(atomic.Bool)
		return
	}
	g.turn, g.ewma = old.turn, old.ewma
	if !g.ewma.Load() {
		return
	}
	var sum float64
	known := 0
	for _, e := range g.endpoints {
		if e.touched.Load() != 0 {
			sum += math.Float64frombits(e.average.Load())
			known++
		}
	}
	if known == 0 {
		return
	}
	for _, e := range g.endpoints {
		if e.touched.CompareAndSwap(0, time.Now().UnixNano()) {
			e.average.Store(math.Float64bits(sum / float64(known)))
		}
	}
}

// Len returns how many endpoints the group has.
func (g *Group) Len() int { return len(g.endpoints) }

// Pick chooses an endpoint that was not chosen for r before; nil: there is none left.
func (g *Group) Pick(r *Request, now time.Time) *Endpoint {
	e := g.choose(r, now)
	if e != nil {
		r.tried = append(r.tried, e)
	}
	return e
}

func (g *Group) choose(r *Request, now time.Time) *Endpoint {
	n := len(g.endpoints)
	switch {
	case n == 0:
		return nil
	case n == 1:
		if r.has(g.endpoints[0]) {
			return nil
		}
		return g.endpoints[0]
	case len(r.Key) > 0:
		return g.hashed(r, now)
	case r.balance() == settings.RoundRobin:
		return g.inTurn(r, now)
	default:
		return g.better(r, now)
	}
}

// better chooses the better one of two that are drawn: which is nearly as even as to compare all of them, and does not send
// everything to one endpoint that seems to be the best.
func (g *Group) better(r *Request, now time.Time) *Endpoint {
	n := uint32(len(g.endpoints))
	i := rand.Uint32N(n)
	j := rand.Uint32N(n - 1)
	if j >= i {
		j++
	}
	a, b := g.endpoints[i], g.endpoints[j]
	aOut, bOut := g.out(a, r, now), g.out(b, r, now)
	switch {
	case aOut && bOut:
		return g.next(r, now, int(i))
	case aOut:
		return b
	case bOut || !g.worse(r, a, b, now):
		return a
	default:
		return b
	}
}

// worse compares two endpoints as r is to be balanced.
func (g *Group) worse(r *Request, a, b *Endpoint, now time.Time) bool {
	if r.balance() == settings.EWMA {
		if !g.ewma.Load() {
			g.ewma.Store(true)
		}
		return a.score(now) > b.score(now)
	}
	return a.inflight.Load() > b.inflight.Load()
}

func (g *Group) out(e *Endpoint, r *Request, now time.Time) bool {
	return e.ejected(now) || len(r.tried) > 0 && r.has(e)
}

// inTurn chooses the next one.
func (g *Group) inTurn(r *Request, now time.Time) *Endpoint {
	i := int((g.turn.Add(1) - 1) % uint32(len(g.endpoints)))
	return g.next(r, now, i)
}

// next returns the first endpoint at or after i that may be used; ejected ones only if there is no other.
func (g *Group) next(r *Request, now time.Time, i int) *Endpoint {
	var last *Endpoint
	n := len(g.endpoints)
	for k := range n {
		e := g.endpoints[(i+k)%n]
		if r.has(e) {
			continue
		}
		if !e.ejected(now) {
			return e
		}
		if last == nil {
			last = e
		}
	}
	return last
}

// End takes the outcome of a request that Begin has counted. took is the time until the head of the response.
func (g *Group) End(e *Endpoint, outcome Outcome, took time.Duration, now time.Time) {
	e.inflight.Add(-1)
	switch outcome {
	case OK:
		if e.fails.Load() != 0 {
			e.fails.Store(0)
			e.round.Store(0)
			e.until.Store(0)
		}
		if g.ewma.Load() {
			e.observe(now, took)
		}
	case Failed, TimedOut:
		if e.fails.Add(1) >= g.config.Failures {
			g.eject(e, now)
		}
		if g.ewma.Load() {
			e.observe(now, took)
		}
	case Canceled:
	}
}

// eject leaves e out for a while, unless half of the group, or all but one, is left out already.
func (g *Group) eject(e *Endpoint, now time.Time) {
	out := 1
	for _, other := range g.endpoints {
		if other != e && other.ejected(now) {
			out++
		}
	}
	if out*2 > len(g.endpoints) || e.ejected(now) {
		return
	}
	round := min(e.round.Add(1)-1, 16)
	e.until.Store(now.Add(min(g.config.Base<<round, g.config.Max)).UnixNano())
}
