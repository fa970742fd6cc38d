package fastpath

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// DefaultCacheSize is the number of answers that a Cache holds, that of CoreDNS's plugin cache for successes.
const DefaultCacheSize = 9984

// CacheConfig says what a server block caches.
type CacheConfig struct {
	// Zones are those of the plugin cache; names outside are not cached.
	Zones []string
	// NoSuccess and NoDenial are zones whose answers, of either sort, are not cached.
	NoSuccess, NoDenial []string
	// Exclude are the zones of the cluster: their names have tables.
	Exclude []string
	// Size is the number of answers; 0: DefaultCacheSize.
	Size int
}

// Cache holds answers that CoreDNS has given, packed, for as long as their time to live. It stands before CoreDNS's plugin
// cache and keeps nothing that that one would not keep: what has expired here is asked there.
type Cache struct {
	zones, noSuccess, noDenial, exclude [][]byte
	seed                                maphash.Seed
	shards                              [cacheShards]cacheShard
	perShard                            int
}

const cacheShards = 16

type cacheShard struct {
	mu      sync.RWMutex
	entries map[string]*entry // guarded by mu
}

// NewCache returns an empty cache.
func NewCache(c CacheConfig) (*Cache, error) {
	cache := &Cache{seed: maphash.MakeSeed()}
	var errs []error
	for _, list := range []struct {
		names []string
		wire  *[][]byte
	}{{c.Zones, &cache.zones}, {c.NoSuccess, &cache.noSuccess}, {c.NoDenial, &cache.noDenial}, {c.Exclude, &cache.exclude}} {
		for _, name := range list.names {
			wire, err := wireName(name)
			errs = append(errs, err)
			*list.wire = append(*list.wire, wire)
		}
	}
	size := c.Size
	if size == 0 {
		size = DefaultCacheSize
	}
	cache.perShard = max(1, size/cacheShards)
	for i := range cache.shards {
		cache.shards[i].entries = make(map[string]*entry)
	}
	return cache, errors.Join(errs...)
}

// shard returns where a key is.
func (c *Cache) shard(key []byte) *cacheShard {
	return &c.shards[maphash.Bytes(c.seed, key)%cacheShards]
}

// get returns a live entry, with the seconds that it has left; nil: none.
func (c *Cache) get(key []byte, now time.Time) (*entry, uint32) {
	s := c.shard(key)
	s.mu.RLock()
	e := s.entries[string(key)]
	s.mu.RUnlock()
	if e == nil {
		return nil, 0
	}
	age := uint32(max(0, now.Sub(e.stored)) / time.Second)
	if age >= e.ttl {
		return nil, 0
	}
	return e, e.ttl - age
}

// put stores an entry, in the place of any one if the shard is full.
func (c *Cache) put(key []byte, e *entry) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.entries[string(key)]; !known && len(s.entries) >= c.perShard {
		for other := range s.entries { // maps begin anywhere
			delete(s.entries, other)
			break
		}
	}
	s.entries[string(key)] = e
}

// keeps reports whether answers of this sort are kept for a name.
func (c *Cache) keeps(name []byte, denial bool) bool {
	not := c.noSuccess
	if denial {
		not = c.noDenial
	}
	return withinAny(name, c.zones) && !withinAny(name, not) && !withinAny(name, c.exclude)
}

func withinAny(name []byte, zones [][]byte) bool {
	for _, z := range zones {
		if within(name, z) {
			return true
		}
	}
	return false
}

// keep stores an answer of CoreDNS's to a plain question, if the name's server block caches it.
func (r *Routes) keep(m *dns.Msg) {
	if len(m.Question) != 1 {
		return
	}
	question := m.Question[0]
	name, err := wireName(question.Name)
	if err != nil {
		return
	}
	denial := m.Rcode == dns.RcodeNameError || len(m.Answer) == 0
	route := r.find(name)
	if route == nil || route.Cache == nil || !route.Cache.keeps(name, denial) {
		return
	}
	if e := newEntry(m, len(name)+4, time.Now()); e != nil {
		route.Cache.put(binary.BigEndian.AppendUint16(name, question.Qtype), e)
	}
}

// fromCache writes a kept answer into room, which holds the header and the question, and returns the length; 0: there is none
// that fits.
func (w *worker) fromCache(r *route, room []byte, limit int, now time.Time) int {
	e, ttl := r.Cache.get(w.query.key(), now)
	if e == nil || w.query.end+len(e.sections) > limit {
		return 0
	}
	msg := e.appendTo(room[:w.query.end], ttl, w.turn(r))
	flags := bitQR | e.flags | w.query.flags&bitRD
	return w.finish(msg, flags, e.answers, e.authorities, e.additionals)
}
