package policy

import (
	"bytes"
	"regexp"
	"strconv"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// affinity binds clients to endpoints of one backend by a cookie, as ingress-nginx's balancer.sticky does: the value is a key of the
// endpoint, "|", and a key of the backend.
type affinity struct {
	*settings.Affinity
	key  string // of the backend
	path string
}

// session is the cookie that a response sets; empty: none.
type session struct{ cookie []byte }

func newAffinity(s *settings.Affinity, l *route.Location, b *route.Backend) *affinity {
	if s == nil {
		return nil
	}
	return &affinity{Affinity: s, key: balance.BackendKey(b), path: orText(s.Path, l.Path)}
}

// read returns the key of the client's endpoint, and that of its backend.
func (a *affinity) read(x *Exchange) (endpoint, backend []byte) {
	endpoint, backend = cutByte(lastCookie(x.Request.Header, a.Cookie), '|')
	backend, _ = cutByte(backend, '|')
	return endpoint, backend
}

// bound tells whether the client has a session with the backend.
func (a *affinity) bound(x *Exchange) bool {
	_, backend := a.read(x)
	return string(backend) == a.key
}

// pick chooses an endpoint by session, by hash, or else as the backend balances.
func (p *Policy) pick(x *Exchange, group *balance.Group) *balance.Endpoint {
	by, hash := p.affinity, p.hash
	switch {
	case x.own.fallen || x.own.paged:
		by, hash = nil, nil
	case x.Canary:
		by, hash = p.canary.affinity, p.canary.hash
	}
	if by != nil {
		return by.pick(x, group)
	}
	if hash != nil && len(x.own.request.Key) == 0 {
		x.own.request.Key = hash.raw(x)
	}
	return group.Pick(&x.own.request, x.now())
}

// pick returns the endpoint of the client's session, or begins one. Where it fails, the request goes on to another endpoint as long
// as nothing was sent; the session moves there only with session-cookie-change-on-failure.
func (a *affinity) pick(x *Exchange, group *balance.Group) *balance.Endpoint {
	r := &x.own.request
	key, _ := a.read(x)
	failed := r.Tries() > 0
	if len(key) > 0 && len(x.own.session.cookie) == 0 {
		if e := group.Session(r, key, a.Persistent); e != nil {
			return e
		}
		if failed && !a.ChangeOnFailure {
			return group.Pick(r, x.now())
		}
	}
	fresh, e := group.NewSession(r, a.Persistent, x.now())
	if e != nil {
		x.own.session.cookie = a.cookie(x, fresh)
	}
	return e
}

// cookie returns a Set-Cookie, its attributes in the order of lua-resty-cookie.
func (a *affinity) cookie(x *Exchange, key string) []byte {
	mark := len(x.own.arena.buf)
	b := append(x.own.arena.buf, a.Cookie...)
	b = append(append(append(append(b, '='), key...), '|'), a.key...)
	if a.Expires != 0 {
		b = append(b, "; Expires="...)
		b = x.now().Add(time.Duration(a.Expires)*time.Second).UTC().AppendFormat(b, "Mon, 02-Jan-06 15:04:05 GMT")
	}
	if a.MaxAge != 0 {
		b = strconv.AppendInt(append(b, "; Max-Age="...), int64(a.MaxAge), 10)
	}
	if a.Domain != "" {
		b = append(append(b, "; Domain="...), a.Domain...)
	}
	b = append(append(b, "; Path="...), a.path...)
	if a.Secure == nil && x.Request.TLS != nil || a.Secure != nil && *a.Secure {
		b = append(b, "; Secure"...)
	}
	b = append(b, "; HttpOnly"...)
	if a.SameSite != "" && !a.withoutSite(x) {
		b = append(append(b, "; SameSite="...), a.SameSite...)
	}
	x.own.arena.buf = b
	return x.own.arena.value(mark)
}

// withoutSite tells whether the attribute SameSite is left out for the client's browser.
func (a *affinity) withoutSite(x *Exchange) bool {
	return a.ConditionalSameSite && a.SameSite == "None" && refusesNone(x.Request.Header.Get("User-Agent"))
}

// setSession adds the cookie to the response.
func setSession(x *Exchange, r *message.Response) {
	if len(x.own.session.cookie) > 0 {
		r.Header.Add(setCookieName, x.own.session.cookie)
	}
}

// oldBrowsers refuse cookies with SameSite=None (https://www.chromium.org/updates/same-site/incompatible-clients).
var oldBrowsers = regexp.MustCompile(`Chrome/[456]|CPU iPhone OS 12|iPad; CPU OS 12`)

// refusesNone tells whether a browser does, as ingress-nginx's util.same_site decides.
func refusesNone(agent []byte) bool {
	if oldBrowsers.Match(agent) {
		return true
	}
	has := func(text string) bool { return bytes.Contains(agent, []byte(text)) }
	return has("Macintosh") && has("Intel Mac OS X 10_14") && has("Safari") && !has("Chrome")
}
