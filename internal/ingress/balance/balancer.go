package balance

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

// Config bounds how endpoints are ejected.
type Config struct {
	// Failures in a row eject an endpoint; 0: 3. It is tried again after Base, and after twice that time if it fails again, up to Max.
	Failures  uint32
	Base, Max time.Duration // 0: 1 s, 60 s
	// Lookup finds the addresses of an ExternalName, and for how long they hold; nil: Resolver.
	Lookup Lookup
}

// Balancer is the state of all endpoints of an entry.
type Balancer struct {
	config Config
	names  *names

	// groups is indexed by Backend.ID in chunks, so that it grows without moving what others read.
	groups [maxChunks]atomic.Pointer[chunk]

	mu        sync.Mutex // guards what follows, and all changes of groups
	endpoints map[netip.AddrPort]*Endpoint
	free      []uint32 // Numbers to use again
	next      uint32
	highest   uint32 // of the IDs that have, or had, a group
}

const (
	chunkSize = 1024
	maxChunks = 1 << 14 // 16 million Backends in the life of an entry
)

type chunk [chunkSize]atomic.Pointer[Group]

// New returns a Balancer without endpoints.
func New(config Config) *Balancer {
	if config.Failures == 0 {
		config.Failures = 3
	}
	if config.Base == 0 {
		config.Base = time.Second
	}
	if config.Max == 0 {
		config.Max = time.Minute
	}
	return &Balancer{config: config, names: newNames(config.Lookup), endpoints: map[netip.AddrPort]*Endpoint{}}
}

// Group returns the endpoints of a Backend as pool has them. For an ExternalName it may have to wait for its addresses, by await,
// which runs a function outside of the event loop; without an answer the group is empty.
func (b *Balancer) Group(backend *route.Backend, pool *route.Pool, now time.Time, await func(func())) *Group {
	var addresses *addresses
	if pool.Name != "" {
		addresses = b.names.lookup(pool.Name, now, await)
	}
	if g := b.group(backend.ID); g != nil && g.pool == pool && g.addresses == addresses {
		return g
	}
	return b.build(backend, pool, addresses)
}

func (b *Balancer) group(id uint32) *Group {
	c := b.groups[id/chunkSize%maxChunks].Load()
	if c == nil {
		return nil
	}
	return c[id%chunkSize].Load()
}

// build replaces the group of a Backend by one of pool.
func (b *Balancer) build(backend *route.Backend, pool *route.Pool, found *addresses) *Group {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := &b.groups[backend.ID/chunkSize%maxChunks]
	c := at.Load()
	if c == nil {
		c = new(chunk)
		at.Store(c)
	}
	slot := &c[backend.ID%chunkSize]
	old := slot.Load()
	g := newGroup(b, backend, pool, found)
	if found != nil {
		for _, address := range found.list {
			g.endpoints = append(g.endpoints, b.retain(netip.AddrPortFrom(address, pool.Port), ""))
		}
	} else {
		for i := range pool.Endpoints {
			g.endpoints = append(g.endpoints, b.retain(pool.Endpoints[i].Addr, pool.Endpoints[i].Pod))
		}
	}
	g.prepare(old)
	slot.Store(g)
	b.highest = max(b.highest, backend.ID)
	if old != nil {
		b.release(old.endpoints)
	}
	return g
}

// Sweep drops the groups of Backends that are not there any more, and with them what is known of endpoints that no other has. A
// request that still has one of them makes it anew, until the next time.
func (b *Balancer) Sweep(has func(id uint32) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for at := uint32(0); at <= b.highest/chunkSize; at++ {
		c := b.groups[at].Load()
		if c == nil {
			continue
		}
		for i := range c {
			if g := c[i].Load(); g != nil && !has(at*chunkSize+uint32(i)) {
				c[i].Store(nil)
				b.release(g.endpoints)
			}
		}
	}
}

func (b *Balancer) retain(addr netip.AddrPort, pod string) *Endpoint {
	e := b.endpoints[addr]
	if e == nil || e.Pod != pod {
		e = &Endpoint{Addr: addr, Pod: pod, Number: b.number()}
		b.endpoints[addr] = e
	}
	e.refs++
	return e
}

func (b *Balancer) number() uint32 {
	if n := len(b.free); n > 0 {
		number := b.free[n-1]
		b.free = b.free[:n-1]
		return number
	}
	b.next++
	return b.next - 1
}

func (b *Balancer) release(endpoints []*Endpoint) {
	for _, e := range endpoints {
		if e.refs--; e.refs > 0 {
			continue
		}
		e.gone.Store(true)
		b.free = append(b.free, e.Number)
		if b.endpoints[e.Addr] == e {
			delete(b.endpoints, e.Addr)
		}
	}
}
