package policy

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// cors is a compiled settings.CORS.
type cors struct {
	origins []settings.Origin
	any     bool
	fields  message.Header // beside the origin
}

func newCORS(s *settings.CORS) *cors {
	c := &cors{origins: s.Origins}
	for i := range s.Origins {
		// Beside other origins "*" stands for nothing: only alone does ingress-nginx take it for all.
		c.any = c.any || s.Origins[i].Any && len(s.Origins) == 1
	}
	add := func(name, value string) {
		if value != "" {
			c.fields.Add([]byte(name), fixedValue(value))
		}
	}
	if s.Credentials {
		add("Access-Control-Allow-Credentials", "true")
	}
	add("Access-Control-Allow-Methods", s.Methods)
	add("Access-Control-Allow-Headers", s.Headers)
	add("Access-Control-Expose-Headers", s.ExposeHeaders)
	add("Access-Control-Max-Age", strconv.Itoa(s.MaxAge))
	return c
}

// preflight answers OPTIONS of an allowed origin, before anything that asks who the client is; and adds the fields to all other
// responses.
func (c *compiler) preflight() {
	if c.settings.CORS == nil {
		return
	}
	compiled := newCORS(c.settings.CORS)
	c.step(func(x *Exchange) bool {
		if x.Request.Method != "OPTIONS" || compiled.allowed(x) == nil {
			return true
		}
		x.Answer.Body = emptyBody
		x.Answer.Header.Add(contentTypeName, plainUTF8)
		return x.answer(204, ReasonPreflight)
	})
	c.response = append(c.response, compiled.respond)
}

func (c *cors) respond(x *Exchange, r *message.Response) {
	origin := c.allowed(x)
	if origin == nil {
		return
	}
	setField(&r.Header, allowOrigin, origin)
	for i := range c.fields {
		setField(&r.Header, c.fields[i].Name, c.fields[i].Value)
	}
}

// allowed returns what is said to the origin of a request: its name, or "*" where all are allowed; nil: nothing.
func (c *cors) allowed(x *Exchange) []byte {
	if c.any {
		return anyOrigin
	}
	origin := x.Request.Header.Get("Origin")
	if len(origin) == 0 {
		return nil
	}
	for i := range c.origins {
		if matchesOrigin(&c.origins[i], origin) {
			return origin
		}
	}
	return nil
}

// matchesOrigin compares an Origin with an allowed one, port included. A wildcard stands for one label, as in ingress-nginx.
func matchesOrigin(allowed *settings.Origin, origin []byte) bool {
	if allowed.Scheme == "" {
		return string(origin) == allowed.Host // "null"
	}
	scheme, host, ok := bytes.Cut(origin, []byte("://"))
	if !ok || allowed.Any || !message.Equal(scheme, allowed.Scheme) {
		return false
	}
	if !allowed.Wildcard {
		return message.Equal(host, allowed.Host)
	}
	label, rest := cutByte(host, '.')
	want := strings.TrimPrefix(strings.TrimPrefix(allowed.Host, "*"), ".")
	return isLabel(label) && message.Equal(rest, want)
}

func isLabel(text []byte) bool {
	for _, c := range text {
		if !isAlphanumeric(c) && c != '-' {
			return false
		}
	}
	return len(text) > 0
}

var (
	allowOrigin = []byte("Access-Control-Allow-Origin")
	anyOrigin   = []byte("*")
	plainUTF8   = []byte("text/plain charset=UTF-8")
	emptyBody   = []byte{}
)
