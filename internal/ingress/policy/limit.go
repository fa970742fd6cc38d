package policy

import (
	"net/netip"
	"sync"
	"time"
	"weak"

	"github.com/switchyard-net/switchyard/internal/model"
)

// preaccessPhase compiles the limits of a client's address: first of requests, then of those at the same time, as nginx does.
func (c *compiler) preaccessPhase() {
	l := &c.settings.Limits
	if c.location.Denied != "" {
		return
	}
	if l.Rate > 0 {
		c.step(func(x *Exchange) bool {
			x.Pacer = Pacer{Rate: l.Rate, After: l.RateAfter}
			return true
		})
	}
	if l.RPS > 0 || l.RPM > 0 {
		var rates []rate
		if l.RPS > 0 {
			rates = append(rates, rate{c.entry.state.zones.bucket(c.location.Ingress, "rps"), int64(l.RPS) * 1000, burst(l.RPS, l.BurstMultiplier)})
		}
		if l.RPM > 0 {
			rates = append(rates, rate{c.entry.state.zones.bucket(c.location.Ingress, "rpm"), int64(l.RPM) * 1000 / 60, burst(l.RPM, l.BurstMultiplier)})
		}
		code := codeOr(l.Code, 503)
		c.step(func(x *Exchange) bool {
			return contains(l.Allow, x.Client) || take(rates, x.Client, x.now()) || x.answer(code, ReasonRate)
		})
	}
	if l.Connections > 0 {
		zone := c.entry.state.zones.conns(c.location.Ingress)
		limit, code := l.Connections, codeOr(l.ConnCode, 503)
		c.step(func(x *Exchange) bool {
			if contains(l.Allow, x.Client) {
				return true
			}
			if !zone.enter(x.Client, limit) {
				return x.answer(code, ReasonConnections)
			}
			x.own.held = zone
			return true
		})
	}
}

// burst is how many thousandths of a request may be over the rate.
func burst(rate, multiplier int) int64 {
	if multiplier <= 0 {
		multiplier = 5
	}
	return int64(rate) * int64(multiplier) * 1000
}

func codeOr(code, fallback int) int {
	if code == 0 {
		return fallback
	}
	return code
}

// zones are the zones of all Ingresses. A zone lives as long as a Policy uses it: that of the next table finds it here.
type zones struct {
	mu      sync.Mutex
	buckets map[zoneKey]weak.Pointer[bucketZone]
	counts  map[zoneKey]weak.Pointer[conns]
}

type zoneKey struct {
	ingress model.Ref
	kind    string
}

func newZones() *zones {
	return &zones{buckets: map[zoneKey]weak.Pointer[bucketZone]{}, counts: map[zoneKey]weak.Pointer[conns]{}}
}

func (z *zones) bucket(ingress model.Ref, kind string) *bucketZone {
	z.mu.Lock()
	defer z.mu.Unlock()
	return zoneOf(z.buckets, zoneKey{ingress, kind}, newBucketZone)
}

func (z *zones) conns(ingress model.Ref) *conns {
	z.mu.Lock()
	defer z.mu.Unlock()
	return zoneOf(z.counts, zoneKey{ingress: ingress}, newConns)
}

// zoneOf returns the zone of a key, a new one if there is none. Keys without a zone go when a new one comes.
func zoneOf[Z any](all map[zoneKey]weak.Pointer[Z], key zoneKey, make func() *Z) *Z {
	if zone := all[key].Value(); zone != nil {
		return zone
	}
	for k, p := range all {
		if p.Value() == nil {
			delete(all, k)
		}
	}
	zone := make()
	all[key] = weak.Make(zone)
	return zone
}

// rate is a limit of requests: perSecond and burst are thousandths of a request.
type rate struct {
	zone             *bucketZone
	perSecond, burst int64
}

// take takes one request out of each of the buckets, or of none and returns false.
func take(rates []rate, addr netip.Addr, now time.Time) bool {
	ms := now.UnixMilli()
	for i := range rates {
		if !rates[i].zone.take(addr, ms, rates[i].perSecond, rates[i].burst) {
			for j := range i {
				rates[j].zone.put(addr)
			}
			return false
		}
	}
	return true
}

// zoneShards spreads a zone over mutexes; zoneEntries is how many addresses all of them hold, about as many as nginx's 5 MB.
const (
	zoneShards  = 16
	zoneEntries = 1 << 16
)

// bucketZone holds a leaky bucket for each address that was seen last.
type bucketZone struct{ shards [zoneShards]bucketShard }

type bucketShard struct {
	mu   sync.Mutex
	list lru[netip.Addr, bucket]
	_    [40]byte
}

// bucket is how far an address is over the rate, in thousandths of a request, and when it asked last, in ms since 1970.
type bucket struct{ excess, last int64 }

func newBucketZone() *bucketZone {
	z := &bucketZone{}
	for i := range z.shards {
		z.shards[i].list.limit = zoneEntries / zoneShards
	}
	return z
}

func shardOf(addr netip.Addr) int {
	b := addr.As16()
	var h uint32
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return int(h>>16) % zoneShards
}

// take is nginx's ngx_http_limit_req_lookup with nodelay: the first request of an address is free, each one after it adds 1000 to
// what leaks away at the rate, and one that would be over the burst is refused and adds nothing.
func (z *bucketZone) take(addr netip.Addr, ms, perSecond, burst int64) bool {
	s := &z.shards[shardOf(addr)]
	s.mu.Lock()
	defer s.mu.Unlock()
	b, known := s.list.get(addr)
	if !known {
		b.last = ms
		return true
	}
	passed := max(ms-b.last, 0)
	excess := max(b.excess-perSecond*passed/1000+1000, 0)
	if excess > burst {
		return false
	}
	b.excess, b.last = excess, max(ms, b.last)
	return true
}

// put gives one request back.
func (z *bucketZone) put(addr netip.Addr) {
	s := &z.shards[shardOf(addr)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, known := s.list.get(addr); known {
		b.excess = max(b.excess-1000, 0)
	}
}

// conns counts the requests of each address that have not ended: there are as many entries as requests, at most.
type conns struct {
	mu   sync.Mutex
	list map[netip.Addr]int
}

func newConns() *conns { return &conns{list: map[netip.Addr]int{}} }

func (c *conns) enter(addr netip.Addr, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list[addr] >= limit {
		return false
	}
	c.list[addr]++
	return true
}

func (c *conns) leave(addr netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.list[addr]; n > 1 {
		c.list[addr] = n - 1
	} else {
		delete(c.list, addr)
	}
}
