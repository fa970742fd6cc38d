package policy

import (
	"regexp"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// responseEdits compiles what changes in responses.
func (c *compiler) responseEdits() {
	if len(c.entry.global.HideHeaders) > 0 {
		c.response = append(c.response, c.entry.hide)
	}
	c.proxyRedirect()
	c.cookieRewrites()
	if len(c.entry.hsts) > 0 && c.host.HasTLS {
		c.lightResponses++
		c.response = append(c.response, c.entry.secure)
	}
	for _, e := range c.entry.addFields {
		c.response = append(c.response, func(x *Exchange, r *message.Response) { setField(&r.Header, e.name, e.value.value(x)) })
	}
	if c.auth() != nil {
		c.response = append(c.response, authCookies)
	}
	c.response = append(c.response, c.snippetResponse...)
	for _, h := range c.settings.Headers {
		if name, value := fixedValue(h.Name), fixedValue(h.Value); !isEngines(h.Name) {
			c.response = append(c.response, func(x *Exchange, r *message.Response) { setField(&r.Header, name, value) })
		}
	}
}

// hide takes fields out of backends' responses.
func (e *Entry) hide(x *Exchange, r *message.Response) {
	if x.own.ours {
		return
	}
	for _, name := range e.hidden {
		setField(&r.Header, name, nil)
	}
}

// secure adds Strict-Transport-Security (RFC 6797), which only counts over TLS.
func (e *Entry) secure(x *Exchange, r *message.Response) {
	if x.Request.TLS != nil {
		setField(&r.Header, hstsName, e.hsts)
	}
}

// authCookies adds the cookies of the authentication server.
func authCookies(x *Exchange, r *message.Response) {
	if !x.own.alwaysCookies && !added(r.Status) {
		return
	}
	for _, c := range x.own.cookies {
		r.Header.Add(setCookieName, c)
	}
}

// replacement is a compiled from and to of proxy_redirect, proxy_cookie_domain or proxy_cookie_path.
type replacement struct {
	from    *template
	pattern *regexp.Regexp // instead of from, after "~" or "~*"
	to      *template
}

// replacement compiles a pair; nil for a pattern that Go's syntax does not have: responses stay as they are.
func (c *compiler) replacement(what, from, to string) *replacement {
	r := &replacement{to: c.template(what, to)}
	expression, isPattern := strings.CutPrefix(from, "~")
	if !isPattern {
		r.from = c.template(what, from)
		return r
	}
	if rest, ok := strings.CutPrefix(expression, "*"); ok {
		expression = "(?i)" + rest
	}
	pattern, err := regexp.Compile(expression)
	if err != nil {
		return nil
	}
	r.pattern = pattern
	return r
}

// apply returns what becomes of text; ok is false if from does not fit. Plain text has to stand at the beginning, which is replaced, or
// be all of it where whole is set; where a pattern matches, all is replaced.
func (r *replacement) apply(x *Exchange, text []byte, whole bool) (out []byte, ok bool) {
	rest := len(text)
	if r.pattern != nil {
		m := r.pattern.FindSubmatchIndex(text)
		if m == nil {
			return nil, false
		}
		x.own.subject, x.own.match = text, m
	} else {
		from := r.from.raw(x)
		if len(from) == 0 || len(text) < len(from) || whole && len(text) != len(from) {
			return nil, false
		}
		if head := text[:len(from)]; whole && !equalFold(head, from) || !whole && string(head) != string(from) {
			return nil, false
		}
		rest = len(from)
	}
	mark := len(x.own.arena.buf)
	x.own.arena.buf = append(r.to.append(x.own.arena.buf, x), text[rest:]...)
	return x.own.arena.value(mark), true
}

// proxyRedirect compiles proxy-redirect-from and -to, which change Location and Refresh of backends.
func (c *compiler) proxyRedirect() {
	p := &c.settings.Proxy
	if p.RedirectOff || p.RedirectFrom == "" || p.RedirectFrom == "off" || p.RedirectFrom == "default" || p.RedirectTo == "off" {
		return
	}
	change := c.replacement("proxy-redirect-from or proxy-redirect-to", p.RedirectFrom, p.RedirectTo)
	if change == nil {
		return
	}
	c.response = append(c.response, func(x *Exchange, r *message.Response) {
		if x.own.ours {
			return
		}
		for i := range r.Header {
			f := &r.Header[i]
			switch {
			case equalFold(f.Name, locationName):
				if to, ok := change.apply(x, f.Value, false); ok {
					f.Value = to
				}
			case message.Equal(f.Name, "Refresh"):
				f.Value = changeRefresh(x, f.Value, change)
			}
		}
	})
}

// changeRefresh changes the URL of a Refresh: "5; url=https://…".
func changeRefresh(x *Exchange, value []byte, change *replacement) []byte {
	at := strings.Index(strings.ToLower(string(value)), "url=")
	if at < 0 {
		return value
	}
	at += len("url=")
	to, ok := change.apply(x, value[at:], false)
	if !ok {
		return value
	}
	mark := len(x.own.arena.buf)
	x.own.arena.buf = append(append(x.own.arena.buf, value[:at]...), to...)
	return x.own.arena.keep(mark)
}

// cookieRewrites compiles proxy-cookie-domain and proxy-cookie-path.
func (c *compiler) cookieRewrites() {
	var domains, paths []*replacement
	for _, r := range c.settings.Proxy.CookieDomain {
		if compiled := c.replacement("proxy-cookie-domain", strings.TrimPrefix(r.From, "."), r.To); compiled != nil {
			domains = append(domains, compiled)
		}
	}
	for _, r := range c.settings.Proxy.CookiePath {
		if compiled := c.replacement("proxy-cookie-path", r.From, r.To); compiled != nil {
			paths = append(paths, compiled)
		}
	}
	if len(domains) == 0 && len(paths) == 0 {
		return
	}
	c.response = append(c.response, func(x *Exchange, r *message.Response) {
		if x.own.ours {
			return
		}
		for i := range r.Header {
			if f := &r.Header[i]; equalFold(f.Name, setCookieName) {
				f.Value = changeCookie(x, f.Value, domains, paths)
			}
		}
	})
}

// changeCookie changes the attributes Domain and Path of a Set-Cookie; the first replacement that fits counts.
func changeCookie(x *Exchange, value []byte, domains, paths []*replacement) []byte {
	var parts [][]byte
	for rest, first := value, true; len(rest) > 0 || first; first = false {
		var part []byte
		part, rest = cutByte(rest, ';')
		name, of := cutByte(part, '=')
		switch attribute := trimSpace(name); {
		case first:
		case message.Equal(attribute, "Domain"):
			domain := trimSpace(of)
			if len(domain) > 0 && domain[0] == '.' {
				domain = domain[1:]
			}
			part = changeAttribute(x, part, name, domain, domains, true)
		case message.Equal(attribute, "Path"):
			part = changeAttribute(x, part, name, trimSpace(of), paths, false)
		}
		parts = append(parts, part)
	}
	mark := len(x.own.arena.buf)
	for i, part := range parts {
		if i > 0 {
			x.own.arena.buf = append(x.own.arena.buf, ';')
		}
		x.own.arena.buf = append(x.own.arena.buf, part...)
	}
	return x.own.arena.keep(mark)
}

func changeAttribute(x *Exchange, part, name, value []byte, changes []*replacement, whole bool) []byte {
	for _, change := range changes {
		to, ok := change.apply(x, value, whole)
		if !ok {
			continue
		}
		mark := len(x.own.arena.buf)
		x.own.arena.buf = append(append(append(x.own.arena.buf, name...), '='), to...)
		return x.own.arena.keep(mark)
	}
	return part
}

var (
	hstsName      = []byte("Strict-Transport-Security")
	setCookieName = []byte("Set-Cookie")
)
