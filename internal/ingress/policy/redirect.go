package policy

import (
	"bytes"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// rewritePhase compiles what nginx does in its server's and its location's rewrite phase: all redirects, and the answers of snippets
// and to preflights. ingress-nginx's own redirect to https is the last of them.
func (c *compiler) rewritePhase() {
	c.steps = append(c.steps, c.entry.block...)
	c.clientCertificate()
	c.snippet(c.serverStatements(), true)
	c.appRoot()
	if c.location.Match == route.MatchSlash {
		c.step(slash)
		return
	}
	if c.host.WWW != "" {
		c.step(c.otherHost)
		return
	}
	if c.location.Denied != "" {
		c.step(closed(c.location.Denied))
		return
	}
	c.preflight()
	c.snippet(c.locationStatements(), false)
	c.redirect()
	c.toTLS()
}

// location answers with a redirect to what was appended to the arena since mark.
func (x *Exchange) location(mark, code int, reason string) bool {
	value := x.own.arena.value(mark)
	x.Answer.Header.Add(locationName, value)
	return x.answer(code, reason)
}

// appRoot redirects exactly "/" of a host to the first app-root that one of its Ingresses has.
func (c *compiler) appRoot() {
	var root *template
	for _, l := range c.host.Locations {
		if l.Settings != nil && l.Settings.Rewrite.AppRoot != "" {
			root = c.template("app-root", l.Settings.Rewrite.AppRoot)
			break
		}
	}
	if root == nil {
		return
	}
	c.step(func(x *Exchange) bool {
		if x.Request.Path != "/" {
			return true
		}
		mark := len(x.own.arena.buf)
		b := append(x.own.arena.buf, x.connScheme()...)
		b = append(b, "://"...)
		b = append(b, x.Request.Authority...)
		x.own.arena.buf = root.append(b, x)
		return x.location(mark, 302, ReasonRedirect)
	})
}

// slash is nginx's own redirect of a location whose path ends in a slash that the request's lacks.
func slash(x *Exchange) bool {
	s := x.Location.Settings
	mark := len(x.own.arena.buf)
	b := x.own.arena.buf
	if !s.Redirect.Relative {
		b = append(b, x.connScheme()...)
		b = append(b, "://"...)
		b = append(b, x.Request.Host...)
		b = appendRedirectPort(b, x, s.Redirect.PortInRedirects)
	}
	b = appendEscaped(b, []byte(x.Request.Path), escapeURI)
	b = append(b, '/')
	if len(x.Request.Query) > 0 {
		b = append(b, '?')
		b = append(b, x.Request.Query...)
	}
	x.own.arena.buf = b
	return x.location(mark, 301, ReasonRedirect)
}

// appendRedirectPort appends the port that the client has asked, if redirects name it and it is not that of the scheme.
func appendRedirectPort(b []byte, x *Exchange, named bool) []byte {
	if !named || x.connScheme() == "http" && x.Port == 80 || x.connScheme() == "https" && x.Port == 443 {
		return b
	}
	b = append(b, ':')
	return appendPort(b, "", x.Port)
}

// otherHost redirects to the host with "www." or without, whichever is served.
func (p *Policy) otherHost(x *Exchange) bool {
	mark := len(x.own.arena.buf)
	b := append(x.own.arena.buf, x.Scheme...)
	b = append(b, "://"...)
	b = append(b, p.host.WWW...)
	if x.Scheme == "https" && x.Port != 443 || x.Scheme == "http" && x.Port != 80 {
		b = appendPort(append(b, ':'), "", x.Port)
	}
	x.own.arena.buf = append(b, bytes.TrimSuffix(x.Request.Target, slashText)...)
	return x.location(mark, p.entry.redirectCode(), ReasonRedirect)
}

// redirect sends all requests to permanent-redirect or temporal-redirect.
func (c *compiler) redirect() {
	r := &c.settings.Redirect
	if r.To == "" {
		return
	}
	to := c.template("permanent-redirect or temporal-redirect", r.To)
	code := r.Code
	c.step(func(x *Exchange) bool {
		mark := len(x.own.arena.buf)
		x.own.arena.buf = to.append(x.own.arena.buf, x)
		return x.redirectTo(mark, code, ReasonRedirect)
	})
}

// redirectTo answers with a redirect to what was appended since mark, made absolute as nginx does unless absolute_redirect is off.
func (x *Exchange) redirectTo(mark, code int, reason string) bool {
	to := x.own.arena.keep(mark)
	s := x.Location.Settings
	if len(to) > 0 && to[0] == '/' && !s.Redirect.Relative {
		mark = len(x.own.arena.buf)
		b := append(x.own.arena.buf, x.connScheme()...)
		b = append(b, "://"...)
		b = append(b, x.Request.Host...)
		b = appendRedirectPort(b, x, s.Redirect.PortInRedirects)
		x.own.arena.buf = append(b, to...)
	}
	return x.location(mark, code, reason)
}

// toTLS redirects to https: where the host has a certificate, or always.
func (c *compiler) toTLS() {
	r := &c.settings.Redirect
	asked := r.TLSAlways || r.TLS && c.host.HasTLS
	if !asked || hasPrefixIn(c.location.Path, c.entry.global.NoTLSRedirect) {
		return
	}
	c.lightSteps++
	c.step(func(x *Exchange) bool { return x.Scheme != "http" || c.https(x, r) })
}

func (p *Policy) https(x *Exchange, r *settings.Redirect) bool {
	mark := len(x.own.arena.buf)
	b := append(x.own.arena.buf, "https://"...)
	b = append(b, hostOnly(x.Authority)...)
	if port := p.entry.ports.HTTPS; r.PortInRedirects && port != 0 {
		b = appendPort(append(b, ':'), "", port)
	}
	target := x.Request.Target
	if !r.KeepSlash {
		target = bytes.TrimSuffix(target, slashText)
	}
	x.own.arena.buf = append(b, target...)
	code := r.TLSCode
	if code == 0 {
		code = 308
	}
	return x.location(mark, code, ReasonRedirect)
}

// redirectCode is that of redirects between hosts.
func (e *Entry) redirectCode() int {
	if code := e.global.Defaults.Redirect.TLSCode; code != 0 {
		return code
	}
	return 308
}

// hostOnly returns an authority without its port.
func hostOnly(authority []byte) []byte {
	if len(authority) > 0 && authority[0] == '[' {
		if i := bytes.IndexByte(authority, ']'); i > 0 {
			return authority[:i+1]
		}
	}
	host, _ := cutByte(authority, ':')
	return host
}

// hasPrefixIn tells whether a path begins with one of the prefixes, as ingress-nginx compares them: by bytes.
func hasPrefixIn(path string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if prefix != "" && len(path) >= len(prefix) && path[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}

var (
	locationName = []byte("Location")
	slashText    = []byte("/")
)
