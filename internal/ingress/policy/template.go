package policy

import (
	"fmt"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/variable"
)

// template is a text with variables, compiled.
type template struct {
	fixed []byte // where there are no variables; then text is nil
	text  variable.Text
}

// newTemplate compiles a text. slots gives the places of the variables that snippets set.
func newTemplate(text string, slots map[string]int) (*template, error) {
	parsed, err := variable.Parse(text, func(name string) bool {
		_, ok := slots[name]
		return ok
	})
	if err != nil {
		return nil, err
	}
	if fixed, ok := parsed.Static(); ok {
		return &template{fixed: []byte(fixed)}, nil
	}
	for i := range parsed {
		if parsed[i].Kind == variable.Own {
			parsed[i].Number = slots[parsed[i].Name]
		}
	}
	return &template{text: parsed}, nil
}

// append appends what the text is for a request. It may hold any byte: where it becomes a field it goes through arena.value.
func (t *template) append(dst []byte, x *Exchange) []byte {
	if t.text == nil {
		return append(dst, t.fixed...)
	}
	for i := range t.text {
		dst = appendVariable(dst, &t.text[i], x)
	}
	return dst
}

// value returns the text as the value of a field.
func (t *template) value(x *Exchange) []byte {
	if t.text == nil {
		return t.fixed
	}
	mark := len(x.own.arena.buf)
	x.own.arena.buf = t.append(x.own.arena.buf, x)
	return x.own.arena.value(mark)
}

// raw returns the text as it is.
func (t *template) raw(x *Exchange) []byte {
	if t.text == nil {
		return t.fixed
	}
	mark := len(x.own.arena.buf)
	x.own.arena.buf = t.append(x.own.arena.buf, x)
	return x.own.arena.keep(mark)
}

// fixedValue returns a text without variables as the value of a field.
func fixedValue(text string) []byte {
	a := arena{buf: []byte(text)}
	return a.value(0)
}

// compiler makes a Policy. The first error is kept: it denies the location.
type compiler struct {
	*Policy
	slots map[string]int // of the variables that snippets set
	err   error
	// lightSteps and lightResponses are how many are those of a Policy that is light.
	lightSteps, lightResponses int
	// statements is how many statements of snippets are compiled; what they change in heads comes after all else.
	statements      int
	snippetEdits    []func(*Exchange)
	snippetResponse []func(*Exchange, *message.Response)
}

func (c *compiler) fail(what string, err error) {
	if c.err == nil {
		c.err = fmt.Errorf("%s: %w", what, err)
	}
}

// template compiles a text of the annotation or directive what.
func (c *compiler) template(what, text string) *template {
	t, err := newTemplate(text, c.slots)
	if err != nil {
		c.fail(what, err)
		return &template{}
	}
	if t.text == nil {
		t.fixed = fixedValue(string(t.fixed))
	}
	return t
}

func (c *compiler) step(s step) { c.steps = append(c.steps, s) }
