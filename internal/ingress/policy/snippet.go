package policy

import (
	"bytes"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// statement is a compiled directive of a snippet.
type statement struct {
	*settings.Statement
	name  []byte
	value *template
	slot  int // of set
	when  *condition
	// again says that the condition is that of the statement before: one block.
	again bool
}

// condition is a compiled if.
type condition struct {
	*settings.Condition
	variable *template
}

// serverStatements are those that hold for the whole host, locationStatements those of the location.
func (c *compiler) serverStatements() []settings.Statement {
	return slices.Concat(c.host.Server, c.entry.global.Server)
}

func (c *compiler) locationStatements() []settings.Statement {
	return slices.Concat(c.settings.Snippet, c.entry.global.Snippet)
}

// snippet compiles directives. As in nginx they are run in order in the rewrite phase, where set, return and the conditions act; what
// changes heads is kept for later. A server's proxy_set_header has no effect, as every location has its own.
func (c *compiler) snippet(list []settings.Statement, server bool) {
	if len(list) == 0 {
		return
	}
	for i := range list {
		if list[i].Op == settings.SetVariable {
			c.slot(list[i].Name)
		}
	}
	compiled := make([]statement, 0, len(list))
	for i := range list {
		s := &list[i]
		if isEngines(s.Name) || server && s.Op == settings.SetHeader {
			continue
		}
		compiled = append(compiled, c.statement(s))
	}
	for i := 1; i < len(compiled); i++ {
		compiled[i].again = compiled[i].When != nil && compiled[i].When == compiled[i-1].When
	}
	base := c.statements
	c.step(func(x *Exchange) bool { return x.run(compiled, base) })
	c.later(compiled)
}

func (c *compiler) slot(name string) int {
	if c.slots == nil {
		c.slots = map[string]int{}
	}
	name = strings.TrimPrefix(name, "$")
	slot, ok := c.slots[name]
	if !ok {
		slot = len(c.slots)
		c.slots[name] = slot
	}
	return slot
}

func (c *compiler) statement(s *settings.Statement) statement {
	out := statement{Statement: s, name: fixedValue(s.Name)}
	out.value = c.template("snippet", s.Value)
	if s.Op == settings.SetVariable {
		out.slot = c.slot(s.Name)
	}
	if s.When != nil {
		text := s.When.Variable
		if !strings.HasPrefix(text, "$") {
			text = "$" + text
		}
		out.when = &condition{Condition: s.When, variable: c.template("snippet's if", text)}
	}
	return out
}

// run runs the statements; base is the number of the first one among all of the location's.
func (x *Exchange) run(list []statement, base int) bool {
	met := true
	for i := range list {
		s := &list[i]
		if s.when != nil && !s.again {
			met = s.when.met(x)
		}
		if s.when != nil && !met {
			continue
		}
		switch s.Op {
		case settings.SetVariable:
			x.set(s.slot, s.value.raw(x))
		case settings.Return:
			return x.returned(s)
		case settings.SetRequest:
			x.setRequest(s.name, s.value.value(x))
		default:
			x.own.hits = append(x.own.hits, base+i)
		}
	}
	return true
}

// set gives a variable of a snippet a value.
func (x *Exchange) set(slot int, value []byte) {
	for len(x.own.variables) <= slot {
		x.own.variables = append(x.own.variables, nil)
	}
	x.own.variables[slot] = value
}

// returned answers as return does: with a redirect, with a text, or with the page of the code.
func (x *Exchange) returned(s *statement) bool {
	mark := len(x.own.arena.buf)
	x.own.arena.buf = s.value.append(x.own.arena.buf, x)
	switch s.Code {
	case 301, 302, 303, 307, 308:
		return x.redirectTo(mark, s.Code, ReasonReturn)
	}
	if text := x.own.arena.keep(mark); len(text) > 0 {
		x.Answer.Body = text
		x.Answer.Header.Add(contentTypeName, plainText)
	}
	return x.answer(s.Code, ReasonReturn)
}

// setRequest replaces a field of the client's request (more_set_input_headers); an empty value removes it.
func (x *Exchange) setRequest(name, value []byte) {
	h := x.Request.Header
	kept := h[:0]
	for _, f := range h {
		if !equalFold(f.Name, name) {
			kept = append(kept, f)
		}
	}
	if len(value) > 0 {
		kept.Add(name, value)
	}
	x.Request.Header = kept
}

// met evaluates the condition as nginx's if does.
func (c *condition) met(x *Exchange) bool {
	value := c.variable.raw(x)
	var is bool
	switch c.Test {
	case settings.TestSet:
		is = len(value) > 0 && string(value) != "0"
	case settings.TestEqual:
		is = string(value) == c.Equal
	case settings.TestMatch:
		if m := c.Pattern.FindSubmatchIndex(value); m != nil {
			is = true
			x.own.subject, x.own.match = value, m
		}
	}
	return is != c.Negate
}

// later compiles what statements change in heads.
func (c *compiler) later(list []statement) {
	base := c.statements
	c.statements += len(list)
	for i := range list {
		s := &list[i]
		number := base + i
		switch s.Op {
		case settings.SetHeader:
			c.snippetEdits = append(c.snippetEdits, func(x *Exchange) {
				if x.hit(number) {
					x.edit(s.name, s.value.value(x))
				}
			})
		case settings.SetMethod:
			c.snippetEdits = append(c.snippetEdits, func(x *Exchange) {
				if method := s.value.value(x); x.hit(number) && isToken(method) {
					x.Method = string(method)
				}
			})
		case settings.AddHeader, settings.SetResponse, settings.ClearResponse, settings.HideHeader:
			c.snippetResponse = append(c.snippetResponse, func(x *Exchange, r *message.Response) {
				if x.hit(number) {
					s.apply(x, r)
				}
			})
		}
	}
}

func (x *Exchange) hit(number int) bool { return slices.Contains(x.own.hits, number) }

// apply changes the head of a response.
func (s *statement) apply(x *Exchange, r *message.Response) {
	switch s.Op {
	case settings.AddHeader:
		if value := s.value.value(x); len(value) > 0 && (s.Always || added(r.Status)) {
			r.Header.Add(s.name, value)
		}
	case settings.SetResponse:
		setField(&r.Header, s.name, s.value.value(x))
	case settings.ClearResponse:
		clearFields(&r.Header, s.name)
	case settings.HideHeader:
		if !x.own.ours {
			setField(&r.Header, s.name, nil)
		}
	}
}

// added tells whether nginx's add_header adds to responses of a status.
func added(status int) bool {
	switch status {
	case 200, 201, 204, 206, 301, 302, 303, 304, 307, 308:
		return true
	default:
		return false
	}
}

// setField replaces all fields of a name by one; an empty value removes them.
func setField(h *message.Header, name, value []byte) {
	kept := (*h)[:0]
	for _, f := range *h {
		if !equalFold(f.Name, name) {
			kept = append(kept, f)
		}
	}
	if len(value) > 0 {
		kept.Add(name, value)
	}
	*h = kept
}

// clearFields removes the fields of a name, or of all names that begin with what stands before a final "*".
func clearFields(h *message.Header, name []byte) {
	prefix, ok := bytes.CutSuffix(name, []byte("*"))
	if !ok {
		setField(h, name, nil)
		return
	}
	kept := (*h)[:0]
	for _, f := range *h {
		if len(f.Name) < len(prefix) || !equalFold(f.Name[:len(prefix)], prefix) || isEngines(string(f.Name)) {
			kept = append(kept, f)
		}
	}
	*h = kept
}

// isEngines tells whether a field belongs to the framing of messages and to connections, which is the engine's alone.
func isEngines(name string) bool {
	switch strings.ToLower(name) {
	case "connection", "upgrade", "transfer-encoding", "content-length", "te", "trailer", "keep-alive", "proxy-connection", "expect":
		return true
	default:
		return false
	}
}

// isToken tells whether text is a token (RFC 9110, section 5.6.2), such as a method or the name of a field.
func isToken(text []byte) bool {
	for _, c := range text {
		if !isAlphanumeric(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return len(text) > 0
}

var (
	contentTypeName = []byte("Content-Type")
	plainText       = []byte("text/plain")
)
