package policy

import (
	"bytes"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/variable"
)

// requestEdits compiles what changes in the request to the backend. A later edit of a field counts: snippets come last.
func (c *compiler) requestEdits() {
	if c.location.Denied != "" {
		return
	}
	if host := c.settings.Upstream.VHost; host != "" {
		t := c.template("upstream-vhost", host)
		c.edits = append(c.edits, func(x *Exchange) { x.HostField = t.value(x) })
	}
	for _, e := range c.entry.setFields {
		c.edits = append(c.edits, func(x *Exchange) { x.edit(e.name, e.value.value(x)) })
	}
	c.rewrite()
	c.edits = append(c.edits, c.snippetEdits...)
}

// rewrite compiles rewrite-target: nginx's rewrite "(?i)PATH" TARGET break.
func (c *compiler) rewrite() {
	target, path := c.settings.Rewrite.Target, c.location.Path
	if target == "" || target == path || c.location.Pattern == nil {
		return
	}
	text, keepArgs := target, true
	if strings.HasSuffix(text, "?") {
		text, keepArgs = text[:len(text)-1], false
	}
	uri, args, _ := strings.Cut(text, "?")
	r := &rewrite{uri: c.template("rewrite-target", uri), args: c.template("rewrite-target", args), keepArgs: keepArgs}
	pattern := c.location.Pattern
	c.edits = append(c.edits, func(x *Exchange) {
		m := pattern.FindStringSubmatchIndex(x.Request.Path)
		if m == nil {
			return
		}
		mark := len(x.own.arena.buf)
		x.own.arena.buf = append(x.own.arena.buf, x.Request.Path...)
		x.own.subject, x.own.match = x.own.arena.keep(mark), m
		x.Target = r.target(x)
	})
	if prefix := c.settings.Rewrite.ForwardedPrefix; prefix != "" {
		t := c.template("x-forwarded-prefix", prefix)
		c.edits = append(c.edits, func(x *Exchange) { x.edit(prefixName, t.value(x)) })
	}
}

// rewrite is a compiled rewrite-target.
type rewrite struct {
	uri, args *template
	keepArgs  bool // the request's arguments follow
}

// target makes the request-target: the path escaped anew, as it was decoded to be matched, and captures in arguments escaped so that
// they stay in their argument.
func (r *rewrite) target(x *Exchange) []byte {
	path := r.uri.raw(x)
	mark := len(x.own.arena.buf)
	b := x.own.arena.buf
	if len(path) == 0 || path[0] != '/' {
		b = append(b, '/')
	}
	b = appendEscaped(b, path, escapeURI)
	separator := byte('?')
	if len(r.args.text) > 0 || len(r.args.fixed) > 0 {
		b = append(b, separator)
		b = r.appendArgs(b, x)
		separator = '&'
	}
	if r.keepArgs && len(x.Request.Query) > 0 {
		b = append(b, separator)
		b = append(b, x.Request.Query...)
	}
	x.own.arena.buf = b
	return x.own.arena.keep(mark)
}

// appendArgs appends the arguments of the target. What stands in the annotation is kept, but for bytes that no target may have.
func (r *rewrite) appendArgs(dst []byte, x *Exchange) []byte {
	if r.args.text == nil {
		return appendEscaped(dst, r.args.fixed, escapeTarget)
	}
	for i := range r.args.text {
		part := &r.args.text[i]
		mark := len(dst)
		dst = appendVariable(dst, part, x)
		switch part.Kind {
		case variable.Capture:
			value := bytes.Clone(dst[mark:])
			dst = appendEscaped(dst[:mark], value, escapeArgs)
		default:
			value := bytes.Clone(dst[mark:])
			dst = appendEscaped(dst[:mark], value, escapeTarget)
		}
	}
	return dst
}

var (
	prefixName = []byte("X-Forwarded-Prefix")
	// escapeTarget is what a request-target cannot hold at all.
	escapeTarget = unsafeBytes("#")
)
