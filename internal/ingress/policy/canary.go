package policy

import (
	"math/rand/v2"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// canary is a compiled route.Canary.
type canary struct {
	*settings.Canary
	main, backend *route.Backend
	// mainAffinity and affinity say by which cookie a client is bound to one of the two; nil: by none.
	mainAffinity, affinity *affinity
	hash                   *template
	total                  int
}

// choose returns the backend of a request: header before cookie before weight. A client that has a session with one of the two stays
// there.
func (c *canary) choose(x *Exchange) *route.Backend {
	if c.mainAffinity != nil && c.mainAffinity.bound(x) {
		return c.main
	}
	if isEmpty(x.Pools.Pool(c.backend)) {
		return c.main
	}
	if c.affinity != nil && c.affinity.bound(x) || c.drawn(x) {
		x.Canary = true
		return c.backend
	}
	return c.main
}

// drawn decides for a client without a session.
func (c *canary) drawn(x *Exchange) bool {
	if c.Header != "" {
		if value, ok := headerValue(x, c.Header); ok {
			switch {
			case c.HeaderValue != "":
				if string(value) == c.HeaderValue {
					return true
				}
			case c.Pattern != nil:
				if c.Pattern.Match(value) {
					return true
				}
			case string(value) == "always":
				return true
			case string(value) == "never":
				return false
			}
		}
	}
	if c.Cookie != "" {
		switch string(cookie(x.Request.Header, c.Cookie)) {
		case "always":
			return true
		case "never":
			return false
		}
	}
	return c.Weight > 0 && rand.IntN(c.total)+1 <= c.Weight
}

// headerValue returns the value of a field; several are joined as nginx joins them.
func headerValue(x *Exchange, name string) (value []byte, ok bool) {
	h := x.Request.Header
	if !h.Has(name) {
		return nil, false
	}
	mark := len(x.own.arena.buf)
	for i := range h {
		if !message.Equal(h[i].Name, name) {
			continue
		}
		if len(x.own.arena.buf) > mark {
			x.own.arena.buf = append(x.own.arena.buf, ", "...)
		}
		x.own.arena.buf = append(x.own.arena.buf, h[i].Value...)
	}
	return x.own.arena.keep(mark), true
}

// balancing compiles which backend and which endpoint a request gets.
func (c *compiler) balancing() {
	if c.location.Denied != "" || c.location.Backend == nil {
		return
	}
	upstream := &c.settings.Upstream
	c.affinity = newAffinity(upstream.Affinity, c.location, c.location.Backend)
	if upstream.HashBy != "" {
		c.hash = c.template("upstream-hash-by", upstream.HashBy)
	}
	of := c.location.Canary
	if of == nil || of.Backend == nil || of.Settings == nil || of.Settings.Canary == nil {
		return
	}
	k := &canary{
		Canary: of.Settings.Canary, main: c.location.Backend, backend: of.Backend, mainAffinity: c.affinity,
		total: of.Settings.Canary.Total,
	}
	if k.total < 100 {
		k.total = 100
	}
	// Sticky, the default, binds clients to the canary as the main Ingress binds them to its backend.
	bind := upstream.Affinity
	if bind == nil || bind.LegacyCanary {
		bind = of.Settings.Upstream.Affinity
	}
	k.affinity = newAffinity(bind, c.location, of.Backend)
	if by := of.Settings.Upstream.HashBy; by != "" {
		k.hash = c.template("upstream-hash-by", by)
	}
	c.canary = k
}
