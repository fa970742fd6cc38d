package balance

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// point is a place on the ring of a consistent hash.
type point struct {
	hash uint64
	at   int // index of the endpoint
}

// pointsEach is how many places an endpoint has: with 128, the busiest of ten gets about a fifth more than its share.
const pointsEach = 128

// points returns the ring. Each replica of an entry makes the same one of the same endpoints.
func (g *Group) points() []point {
	g.ringOnce.Do(func() {
		g.ring = make([]point, 0, len(g.endpoints)*pointsEach)
		var text [64]byte
		for at, e := range g.endpoints {
			name, _ := e.Addr.AppendText(text[:0])
			name = append(name, 0, 0)
			for i := range uint16(pointsEach) {
				binary.BigEndian.PutUint16(name[len(name)-2:], i)
				g.ring = append(g.ring, point{hash: xxhash.Sum64(name), at: at})
			}
		}
		slices.SortFunc(g.ring, func(a, b point) int {
			switch {
			case a.hash < b.hash:
				return -1
			case a.hash > b.hash:
				return 1
			default:
				return a.at - b.at
			}
		})
	})
	return g.ring
}

// from returns the index of the first point at or after the hash of key.
func (g *Group) from(key []byte) int {
	ring, hash := g.points(), xxhash.Sum64(key)
	i, _ := slices.BinarySearchFunc(ring, hash, func(p point, hash uint64) int {
		switch {
		case p.hash < hash:
			return -1
		case p.hash > hash:
			return 1
		default:
			return 0
		}
	})
	return i % len(ring)
}

// hashed chooses the endpoint of r.Key: the first on the ring that may be used; or, of a subset of the first ones, the better of two.
func (g *Group) hashed(r *Request, now time.Time) *Endpoint {
	ring := g.points()
	start := g.from(r.Key)
	if size := r.subset(); size > 1 {
		if e := g.ofSubset(r, now, start, size); e != nil {
			return e
		}
	}
	for k := range ring {
		e := g.endpoints[ring[(start+k)%len(ring)].at]
		if !g.out(e, r, now) {
			return e
		}
	}
	return g.next(r, now, ring[start].at)
}

// maxSubset bounds how many endpoints of a subset are looked at.
const maxSubset = 64

// subset is of how many endpoints one key may use; 0: of one.
func (r *Request) subset() int {
	if r.Upstream == nil {
		return 0
	}
	return r.Upstream.HashSubset
}

// ofSubset chooses the better one of two that are drawn of the first size endpoints from start on; nil: none of them can be used.
func (g *Group) ofSubset(r *Request, now time.Time, start, size int) *Endpoint {
	size = min(size, len(g.endpoints), maxSubset)
	var seen [maxSubset]int
	var usable [maxSubset]*Endpoint
	count, n := 0, 0
	for k := 0; count < size; k++ {
		at := g.ring[(start+k)%len(g.ring)].at
		if slices.Contains(seen[:count], at) {
			continue
		}
		seen[count] = at
		count++
		if e := g.endpoints[at]; !g.out(e, r, now) {
			usable[n] = e
			n++
		}
	}
	switch n {
	case 0:
		return nil
	case 1:
		return usable[0]
	}
	i, j := rand.IntN(n), rand.IntN(n-1)
	if j >= i {
		j++
	}
	if g.worse(r, usable[i], usable[j], now) {
		return usable[j]
	}
	return usable[i]
}
