package balance

import (
	"crypto/md5" // not for secrecy: the keys of ingress-nginx's cookies
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

// upstreamName is the name that ingress-nginx gives a backend, which its cookies are made of.
func upstreamName(b *route.Backend) string {
	port := b.Key.Name
	if port == "" {
		port = strconv.Itoa(int(b.Key.Number))
	}
	return b.Key.Service.Namespace + "-" + b.Key.Service.Name + "-" + port
}

// BackendKey returns what the second part of a session cookie is for a backend.
func BackendKey(b *route.Backend) string {
	name := upstreamName(b)
	return md5Text(md5Text(name) + name)
}

func md5Text(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Session returns the endpoint of a session by the first part of its cookie: the very endpoint where persistent is set, else that
// of a consistent hash; nil: it is gone, or was chosen for r before.
func (g *Group) Session(r *Request, key []byte, persistent bool) *Endpoint {
	if len(g.endpoints) == 0 {
		return nil
	}
	var e *Endpoint
	if persistent {
		e = g.byKey()[string(key)]
	} else {
		e = g.endpoints[g.points()[g.from(key)].at]
	}
	if e == nil || r.has(e) {
		return nil
	}
	r.tried = append(r.tried, e)
	return e
}

// sessionTries is how many keys are tried for one that leads to an endpoint that can be used, as in ingress-nginx.
const sessionTries = 20

// NewSession chooses an endpoint that was not chosen for r before, and returns the key that leads there.
func (g *Group) NewSession(r *Request, persistent bool, now time.Time) (string, *Endpoint) {
	if persistent {
		r.Key = nil
		e := g.Pick(r, now)
		if e == nil {
			return "", nil
		}
		return g.sessionKey(e), e
	}
	if len(g.endpoints) == 0 {
		return "", nil
	}
	var last *Endpoint
	var lastKey string
	for range sessionTries {
		key := strconv.FormatInt(now.UnixMilli(), 10) + "." + strconv.FormatUint(rand.Uint64(), 36)
		e := g.endpoints[g.points()[g.from([]byte(key))].at]
		if r.has(e) {
			continue
		}
		last, lastKey = e, key
		if !e.ejected(now) {
			break
		}
	}
	if last == nil {
		return "", nil
	}
	r.tried = append(r.tried, last)
	return lastKey, last
}

// sessionKey names an endpoint without telling its address.
func (g *Group) sessionKey(e *Endpoint) string {
	return md5Text(g.name + e.Addr.String())
}

func (g *Group) byKey() map[string]*Endpoint {
	g.keysOnce.Do(func() {
		g.keys = make(map[string]*Endpoint, len(g.endpoints))
		for _, e := range g.endpoints {
			g.keys[g.sessionKey(e)] = e
		}
	})
	return g.keys
}
