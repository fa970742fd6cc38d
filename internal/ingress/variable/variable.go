// Package variable parses texts with nginx's variables, such as "https://$host$request_uri", which annotations and snippets may hold.
// What a variable stands for is known where requests are: in package policy.
package variable

import (
	"fmt"
	"strings"
)

// Kind is what a Part stands for.
type Kind uint8

// Part is a piece of a Text.
type Part struct {
	Kind Kind
	// Name is the text of a Literal; the rest of the name after "http_", "arg_", "cookie_", "sent_http_" and "upstream_http_", in
	// lower case and for headers with "_" where the field has "-"; the name of an Own one.
	Name string
	// Number is that of a Capture, 0 to 9.
	Number int
}

// Text is a parsed text. The zero value is the empty text.
type Text []Part

// The kinds of parts beside the named variables, which names.go lists.
const (
	Literal  Kind = iota
	Capture       // $1 to $9 of the last match
	Own           // set by a snippet
	Header        // $http_…
	Argument      // $arg_…
	Cookie        // $cookie_…
	Sent          // $sent_http_… and $upstream_http_…
	firstNamed
)

// Parse reads a text. own tells which names beside nginx's and the controller's are set; nil: none. An error names the variable.
func Parse(text string, own func(name string) bool) (Text, error) {
	var t Text
	for text != "" {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			return append(t, Part{Name: text}), nil
		}
		if i > 0 {
			t = append(t, Part{Name: text[:i]})
		}
		name, rest, err := cut(text[i+1:])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		part, ok := named(name)
		switch {
		case own != nil && own(name):
			part = Part{Kind: Own, Name: name}
		case !ok:
			return nil, fmt.Errorf("variable $%s is not known", name)
		}
		t = append(t, part)
		text = rest
	}
	return t, nil
}

// Static returns the text if it holds no variable.
func (t Text) Static() (string, bool) {
	switch {
	case len(t) == 0:
		return "", true
	case len(t) == 1 && t[0].Kind == Literal:
		return t[0].Name, true
	default:
		return "", false
	}
}

// cut splits the name of a variable, after its dollar sign, from what follows.
func cut(text string) (name, rest string, err error) {
	braced := strings.HasPrefix(text, "{")
	if braced {
		text = text[1:]
	}
	n := 0
	for n < len(text) && isName(text[n]) {
		n++
	}
	if n > 0 && !braced && '0' <= text[0] && text[0] <= '9' {
		n = 1 // $10 is $1 and a zero
	}
	name, rest = text[:n], text[n:]
	if name == "" {
		return "", "", fmt.Errorf("a dollar sign without the name of a variable")
	}
	if !braced {
		return name, rest, nil
	}
	rest, ok := strings.CutPrefix(rest, "}")
	if !ok {
		return "", "", fmt.Errorf("variable ${%s is not closed", name)
	}
	return name, rest, nil
}

func isName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// named returns the variable of a name.
func named(name string) (Part, bool) {
	name = strings.ToLower(name)
	if len(name) == 1 && '0' <= name[0] && name[0] <= '9' {
		return Part{Kind: Capture, Number: int(name[0] - '0')}, true
	}
	if kind, ok := kinds[name]; ok {
		return Part{Kind: kind}, true
	}
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(name, p.prefix); ok && rest != "" {
			return Part{Kind: p.kind, Name: rest}, true
		}
	}
	return Part{}, false
}

// Known tells whether a name, without its dollar sign, is a variable of nginx or of ingress-nginx that is provided.
func Known(name string) bool {
	_, ok := named(name)
	return ok
}
