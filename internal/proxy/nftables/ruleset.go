package nftables

import (
	"net/netip"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
)

// ruleset is what one family's table holds, or that part of it which some Services need.
type ruleset struct {
	chains   map[string]*chain
	elements [setCount]elements
	// counted are elements that several Services may ask for: they are there as long as one does.
	counted map[countedKey]int
}

// chain is a chain with its rules, and how many frontends lead through it.
type chain struct {
	nft.Chain
	rules []nft.Rule
	uses  int
	// unusedSince is when the last element that led here went.
	unusedSince time.Time
}

// same reports whether two chains do the same.
func (c *chain) same(o *chain) bool {
	if len(c.rules) != len(o.rules) {
		return false
	}
	for i := range c.rules {
		if c.rules[i].Digest != o.rules[i].Digest {
			return false
		}
	}
	return true
}

// sameBase reports whether two chains have all that cannot be changed in place in common.
func (c *chain) sameBase(o *chain) bool {
	if c.Hook == nil || o.Hook == nil {
		return c.Hook == o.Hook
	}
	return *c.Hook == *o.Hook
}

// countedKey is an element of cluster-ips or hairpins.
type countedKey struct {
	set  setID
	addr netip.Addr
}

// record returns the element: an address, or the pair of an address with itself.
func (k countedKey) record() []byte {
	r := k.addr.AsSlice()
	if k.set == hairpins {
		r = append(r, r...)
	}
	return r
}

func newRuleset(sets []nft.Set) *ruleset {
	r := &ruleset{chains: map[string]*chain{}, counted: map[countedKey]int{}}
	for id := range setCount {
		r.elements[id].key = int(sets[id].KeyLen)
		r.elements[id].data = int(sets[id].DataLen)
		if sets[id].IsVerdictMap() {
			r.elements[id].data = 4
		}
	}
	return r
}

// addCounted turns what is counted into elements.
func (r *ruleset) addCounted() {
	for k := range r.counted {
		r.elements[k.set].buf = append(r.elements[k.set].buf, k.record()...)
	}
}

func (r *ruleset) sort() {
	for id := range r.elements {
		r.elements[id].sort()
	}
}
