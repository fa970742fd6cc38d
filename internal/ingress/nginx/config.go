package nginx

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// directive is one directive of a configuration, with a block if that is not nil.
type directive struct {
	name  string // a constant of this package
	args  []arg
	block []directive
}

// arg is an argument as it is written, quoted. Only the functions below make one.
type arg string

// d returns a simple directive.
func d(name string, args ...arg) directive { return directive{name: name, args: args} }

// block returns a directive with a block.
func block(name string, args []arg, inner ...directive) directive {
	if inner == nil {
		inner = []directive{}
	}
	return directive{name: name, args: args, block: inner}
}

// key returns a constant of this package as an argument. It is for keywords and variables, never for strings of the API.
func key(s string) arg { return arg(s) }

// number returns n as an argument.
func number[N int | int64 | uint16 | uint32 | uint64](n N) arg {
	return arg(strconv.FormatInt(int64(n), 10))
}

// duration returns a time as an argument, in whole milliseconds.
func duration(t time.Duration) arg { return arg(strconv.FormatInt(t.Milliseconds(), 10) + "ms") }

// plain returns s for a place where nginx replaces no variables: a path, a name, a pattern, a key of a map.
func plain(s string) arg { return arg(`"` + quoting.Replace(s) + `"`) }

// literal returns s for a place where nginx replaces variables.
func literal(s string) arg { return value(text(s)) }

// quoting is nginx's for quoted words (ngx_conf_read_token): a backslash hides itself and the quote.
var quoting = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// part is a piece of a value: text, or the name of a variable.
type part struct{ text, variable string }

func text(s string) part   { return part{text: s} }
func ofName(s string) part { return part{variable: s} }

// dollar is the variable for a dollar sign, which nginx has no way to write where it replaces variables.
const dollar = "switchyard_dollar"

// value returns pieces for a place where nginx replaces variables. Names of variables are constants, or checked by
// isVariable.
func value(parts ...part) arg {
	var b strings.Builder
	b.WriteByte('"')
	for _, p := range parts {
		switch {
		case len(p.variable) == 1 && '0' <= p.variable[0] && p.variable[0] <= '9':
			b.WriteString("$" + p.variable) // a capture, which is one digit long and takes no braces
			continue
		case p.variable != "":
			b.WriteString("${" + p.variable + "}")
			continue
		}
		b.WriteString(strings.ReplaceAll(quoting.Replace(p.text), "$", "${"+dollar+"}"))
	}
	b.WriteByte('"')
	return arg(b.String())
}

// isVariable reports whether nginx takes name between braces.
func isVariable(name string) bool {
	for _, c := range []byte(name) {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return name != ""
}

// unprintable returns an error if s cannot stand in a configuration: nginx ends a configuration at NUL, and a control character
// in a header would end it.
func unprintable(s string) error {
	if i := strings.IndexFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }); i >= 0 {
		return fmt.Errorf("%q has a control character (U+%04X)", s, s[i])
	}
	return nil
}

// commentSign begins the comment that says which Ingress the directives after it are for. What nginx refuses is found by it.
const commentSign = "# "

// comment names an Ingress, whose name can hold no end of a line; a zero one ends what is of the one before.
func comment(of model.Ref) directive { return directive{name: commentSign + of.String()} }

// blamed returns the Ingress that a line of a configuration is of, counted from 1; false: none.
func blamed(config string, line int) (model.Ref, bool) {
	lines := strings.Split(config, "\n")
	for i := min(line, len(lines)) - 1; i >= 0; i-- {
		if of, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), commentSign); ok {
			namespace, name, _ := strings.Cut(of, "/")
			return model.Ref{Namespace: namespace, Name: name}, name != ""
		}
	}
	return model.Ref{}, false
}

// write appends directives as text, a level deeper each block.
func write(b *strings.Builder, list []directive, level int) {
	indent := strings.Repeat("    ", level)
	for _, e := range list {
		b.WriteString(indent + e.name)
		if strings.HasPrefix(e.name, commentSign) {
			b.WriteByte('\n')
			continue
		}
		for _, a := range e.args {
			b.WriteString(" " + string(a))
		}
		if e.block == nil {
			b.WriteString(";\n")
			continue
		}
		b.WriteString(" {\n")
		write(b, e.block, level+1)
		b.WriteString(indent + "}\n")
	}
}
