package settings

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A snippet is never put into anything: it is parsed as nginx's language of configuration, and those directives that are safe and
// common become Statements. An if holds one condition, and nothing but directives that are interpreted.

// SnippetError says which directive of a snippet is not interpreted.
type SnippetError struct {
	Directive, Reason string
	// Guard is true where leaving the directive out could let in whom it keeps out.
	Guard bool
}

// Error names the directive.
func (e *SnippetError) Error() string { return fmt.Sprintf("directive %s: %s", e.Directive, e.Reason) }

// snippets reads the snippets of an Ingress.
func (p *parser) snippets() {
	p.snippet("configuration-snippet", &p.out.Snippet)
	p.snippet("server-snippet", &p.out.Server)
	if p.out.Auth != nil {
		auth := *p.out.Auth
		p.snippet("auth-snippet", &auth.Snippet)
		p.out.Auth = &auth
	}
}

func (p *parser) snippet(name string, to *[]Statement) {
	text, ok := p.get(name)
	if !ok {
		return
	}
	if !p.env.Global.Policy.Snippets {
		p.problem(Lost, ReasonSnippet, name, "has no effect, as allow-snippet-annotations is false in the ConfigMap, as in ingress-nginx")
		return
	}
	statements, errs := ParseSnippet(text)
	*to = append(slices.Clip(*to), statements...)
	for _, e := range errs {
		if e.Guard {
			p.problem(Denied, ReasonSnippet, name, "%s; it may keep somebody out, so all paths answer 503 until it is replaced", e)
		} else {
			p.problem(Lost, ReasonSnippet, name, "%s; this directive has no effect", e)
		}
	}
}

// ParseSnippet returns the statements of a snippet, and what of it is not interpreted.
func ParseSnippet(text string) ([]Statement, []*SnippetError) {
	tokens, err := snippetTokens(text)
	if err != nil {
		return nil, []*SnippetError{{Directive: "(syntax)", Reason: err.Error(), Guard: true}}
	}
	s := &snippetReader{tokens: tokens, own: map[string]bool{}}
	s.block(nil, 0)
	return s.out, s.errs
}

// snippetToken is a word, or one of ";", "{" and "}" where mark is set.
type snippetToken struct {
	text string
	mark bool
}

const snippetSize = 64 << 10

// snippetTokens splits a snippet as nginx does: quotes, backslashes before special characters, comments.
func snippetTokens(text string) ([]snippetToken, error) {
	if len(text) > snippetSize {
		return nil, fmt.Errorf("longer than %d bytes", snippetSize)
	}
	var out []snippetToken
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '#':
			end := strings.IndexByte(text[i:], '\n')
			if end < 0 {
				return out, nil
			}
			i += end
		case c == ';' || c == '{' || c == '}':
			out = append(out, snippetToken{string(c), true})
			i++
		default:
			word, n, err := snippetWord(text[i:])
			if err != nil {
				return nil, err
			}
			out = append(out, snippetToken{word, false})
			i += n
		}
	}
	return out, nil
}

// snippetWord reads one word and returns how long it is in the text. "${" does not open a block.
func snippetWord(text string) (string, int, error) {
	var word strings.Builder
	quote := byte(0)
	i := 0
	if text[0] == '"' || text[0] == '\'' {
		quote = text[0]
		i = 1
	}
	for ; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			unescape(&word, text[i])
		case quote != 0 && c == quote:
			return word.String(), i + 1, nil
		case quote == 0 && (c == ';' || strings.IndexByte(" \t\r\n", c) >= 0):
			return word.String(), i, nil
		case quote == 0 && c == '{' && (i == 0 || text[i-1] != '$'):
			return word.String(), i, nil
		case c == 0:
			return "", 0, errors.New("a NUL")
		default:
			word.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", 0, errors.New("a quote is not closed")
	}
	return word.String(), i, nil
}

// unescape writes what a backslash and a character stand for (ngx_conf_read_token).
func unescape(to *strings.Builder, c byte) {
	switch c {
	case '"', '\'', '\\':
		to.WriteByte(c)
	case 't':
		to.WriteByte('\t')
	case 'r':
		to.WriteByte('\r')
	case 'n':
		to.WriteByte('\n')
	default:
		to.WriteByte('\\')
		to.WriteByte(c)
	}
}

// snippetReader turns tokens into statements.
type snippetReader struct {
	tokens []snippetToken
	at     int
	own    map[string]bool // variables that are set
	out    []Statement
	errs   []*SnippetError
}

func (s *snippetReader) refuse(directive, format string, args ...any) {
	s.errs = append(s.errs, &SnippetError{directive, fmt.Sprintf(format, args...), isGuard(directive)})
}

// isGuard reports whether a directive keeps requests out, or may do so.
func isGuard(directive string) bool {
	for _, prefix := range []string{"auth", "limit", "access_by", "rewrite_by", "secure_link", "modsecurity", "ssl_verify", "ssl_client", "valid_ref"} {
		if strings.HasPrefix(directive, prefix) {
			return true
		}
	}
	return slices.Contains([]string{"allow", "deny", "satisfy", "internal", "return", "if", "set", "(syntax)"}, directive)
}

// block reads directives up to the end, or up to the closing brace of a block.
func (s *snippetReader) block(when *Condition, depth int) {
	for s.at < len(s.tokens) {
		t := s.tokens[s.at]
		s.at++
		if t.mark {
			if t.text == "}" && depth > 0 {
				return
			}
			if t.text != ";" {
				s.refuse("(syntax)", "a brace without directive")
			}
			continue
		}
		args, opened := s.arguments()
		switch {
		case opened && t.text == "if" && depth == 0:
			s.conditional(args)
		case opened:
			guards := s.skip()
			s.refuse(t.text, "a block that is not interpreted")
			last := s.errs[len(s.errs)-1]
			last.Guard = last.Guard || guards
		default:
			s.directive(t.text, args, when)
		}
	}
	if depth > 0 {
		s.refuse("(syntax)", "a block is not closed")
	}
}

// arguments reads the words after a directive, and whether a block follows.
func (s *snippetReader) arguments() (args []string, opened bool) {
	for s.at < len(s.tokens) {
		t := s.tokens[s.at]
		if t.mark && t.text == "}" {
			return args, false // the directive lacks its semicolon; the brace counts
		}
		s.at++
		if t.mark {
			return args, t.text == "{"
		}
		args = append(args, t.text)
	}
	return args, false
}

// skip leaves out a block, and reports whether one of its words is that of a guard.
func (s *snippetReader) skip() (guards bool) {
	for depth := 1; s.at < len(s.tokens) && depth > 0; s.at++ {
		guards = guards || !s.tokens[s.at].mark && isGuard(s.tokens[s.at].text)
		switch t := s.tokens[s.at]; {
		case t.mark && t.text == "{":
			depth++
		case t.mark && t.text == "}":
			depth--
		}
	}
	return guards
}

func (s *snippetReader) conditional(args []string) {
	when, err := s.condition(strings.Join(args, " "), args)
	if err != nil {
		s.refuse("if", "%s", err)
		s.skip()
		return
	}
	s.block(when, 1)
}

// condition reads what is between the parentheses of an if.
func (s *snippetReader) condition(text string, args []string) (*Condition, error) {
	if len(args) == 0 || !strings.HasPrefix(text, "(") || !strings.HasSuffix(text, ")") {
		return nil, errors.New("no condition in parentheses")
	}
	words := slices.Clone(args)
	words[0] = words[0][1:]
	last := len(words) - 1
	words[last] = strings.TrimSuffix(words[last], ")")
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	if len(words) == 0 || !strings.HasPrefix(words[0], "$") {
		return nil, errors.New("a condition on something else than a variable")
	}
	name := strings.Trim(words[0][1:], "{}")
	if err := knownVariables("${"+name+"}", s.own); err != nil {
		return nil, err
	}
	c := &Condition{Variable: name}
	if len(words) == 1 {
		return c, nil
	}
	if len(words) > 3 {
		return nil, errors.New("a condition of more than one variable, operator and value")
	}
	value := ""
	if len(words) == 3 {
		value = words[2]
	}
	return c, c.compare(words[1], value)
}

func (c *Condition) compare(operator, value string) error {
	operator, c.Negate = strings.CutPrefix(operator, "!")
	switch operator {
	case "=":
		c.Test, c.Equal = TestEqual, value
		return nil
	case "~", "~*":
		if operator == "~*" {
			value = "(?i)" + value
		}
		re, err := regexp.Compile(value)
		c.Test, c.Pattern = TestMatch, re
		return err
	}
	return fmt.Errorf("operator %q is not known", operator)
}

// directive reads a directive without a block.
func (s *snippetReader) directive(name string, args []string, when *Condition) {
	st := Statement{When: when}
	var err error
	switch name {
	case "add_header":
		if n := len(args); n == 3 && args[2] == "always" {
			st.Always, args = true, args[:2]
		}
		st.Op = AddHeader
		err = st.header(args)
	case "proxy_set_header", "grpc_set_header":
		st.Op = SetHeader
		err = st.header(args)
	case "more_set_headers", "more_set_input_headers", "more_clear_headers", "more_clear_input_headers":
		s.more(name, args, when)
		return
	case "proxy_hide_header", "grpc_hide_header":
		st.Op = HideHeader
		err = st.header(append(slices.Clip(args), ""))
	case "proxy_method":
		st.Op = SetMethod
		err = st.method(args)
	case "set":
		st.Op = SetVariable
		err = s.set(&st, args)
	case "return":
		st.Op = Return
		err = st.answer(args)
	default:
		err = errors.New("is not interpreted")
	}
	if err == nil {
		err = knownVariables(st.Value, s.own)
	}
	if err != nil {
		s.refuse(name, "%s", err)
		return
	}
	s.out = append(s.out, st)
}

// header reads a name and a value.
func (st *Statement) header(args []string) error {
	if len(args) != 2 {
		return errors.New("a name and a value are needed")
	}
	if !isHeaderName(args[0]) {
		return fmt.Errorf("%q is no name of a header", shorten(args[0]))
	}
	if strings.ContainsAny(args[1], "\r\n\x00") {
		return errors.New("the value has a control character")
	}
	st.Name, st.Value = args[0], args[1]
	return nil
}

// more reads the directives of the module headers-more: each argument is "Name: value".
func (s *snippetReader) more(name string, args []string, when *Condition) {
	if len(args) == 0 {
		s.refuse(name, "a header is needed")
	}
	if slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") }) {
		s.refuse(name, "options are not interpreted")
		return
	}
	for _, arg := range args {
		field, value, _ := strings.Cut(arg, ":")
		st := Statement{When: when, Always: true}
		switch name {
		case "more_set_headers":
			st.Op = SetResponse
		case "more_clear_headers":
			st.Op, value = ClearResponse, ""
		case "more_set_input_headers":
			st.Op = SetRequest
		default:
			st.Op, value = SetRequest, ""
		}
		err := st.header([]string{strings.TrimSpace(field), strings.TrimSpace(value)})
		if err == nil {
			err = knownVariables(st.Value, s.own)
		}
		if err != nil {
			s.refuse(name, "%s", err)
			continue
		}
		s.out = append(s.out, st)
	}
}

func (st *Statement) method(args []string) error {
	if len(args) != 1 || !table().rules.methods.MatchString(args[0]) {
		return errors.New("a method is needed, such as GET")
	}
	st.Value = args[0]
	return nil
}

func (s *snippetReader) set(st *Statement, args []string) error {
	if len(args) != 2 || !strings.HasPrefix(args[0], "$") {
		return errors.New("a variable and a value are needed")
	}
	st.Name, st.Value = args[0][1:], args[1]
	if st.Name == "" || len(st.Name) > 100 || strings.Trim(strings.ToLower(st.Name), "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return fmt.Errorf("%q is no name of a variable", shorten(args[0]))
	}
	if knownVariables("${"+st.Name+"}", nil) == nil {
		return fmt.Errorf("$%s is not for snippets to set", st.Name)
	}
	s.own[st.Name] = true
	return nil
}

// answer reads the arguments of return: a code, with a text or the URL of a redirect, or a URL alone.
func (st *Statement) answer(args []string) error {
	if len(args) == 0 || len(args) > 2 {
		return errors.New("a code or a URL is needed")
	}
	code, err := strconv.Atoi(args[0])
	switch {
	case err != nil && len(args) == 1 && (strings.Contains(args[0], "://") || strings.HasPrefix(args[0], "$")):
		st.Code, st.Value = http.StatusFound, args[0]
		return nil
	case err != nil || code != 444 && (code < 200 || code > 599):
		return fmt.Errorf("%q is no status code", shorten(args[0]))
	}
	st.Code = code
	if len(args) == 2 {
		st.Value = args[1]
	}
	return nil
}
