package settings

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/variable"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Problem is what of an object's settings is not honoured.
type Problem struct {
	Effect Effect
	// Reason is CamelCase, for Events and metrics.
	Reason string
	// Field is the annotation's full name, or the key of a ConfigMap.
	Field string
	// Message says what is wrong and what to do; it does not repeat Field.
	Message string
}

// The reasons of problems.
const (
	ReasonInvalid   = "InvalidAnnotation"
	ReasonRisky     = "RiskyAnnotation"
	ReasonUnknown   = "UnknownAnnotation"
	ReasonIgnored   = "IgnoredAnnotation"
	ReasonRefused   = "UnsupportedAnnotation"
	ReasonReference = "BadReference"
	ReasonSnippet   = "UnsupportedSnippet"
	ReasonPath      = "InvalidPath"
	ReasonOption    = "InvalidOption"
	// ReasonPattern is for patterns of PCRE that RE2 does not have.
	ReasonPattern = "UnsupportedPattern"
)

// Env is what Parse knows beside the Ingress.
type Env struct {
	Global *Global
	// ConfigMap returns what was read of a ConfigMap; nil: nothing yet.
	ConfigMap func(model.Ref) *model.ConfigMap
}

// Parse reads the annotations of an Ingress, as ingress-nginx 1.15 does: a value that is not valid has the effect that it has there,
// but that nothing is ever less protected for it. The Settings are valid even then, and never nil; what is to become of the
// Ingress is the worst Effect of the problems.
func Parse(ing *model.Ingress, env Env) (*Settings, []Problem) {
	p := &parser{ing: ing, env: env, out: env.Global.Defaults}
	p.read()
	p.paths()
	if len(p.valid) == 0 && len(p.problems) == 0 {
		return &env.Global.Defaults, nil // shared by all Ingresses that ask for nothing
	}
	p.rewrite()
	p.redirect()
	p.access()
	p.cors()
	p.basicAuth()
	p.externalAuth()
	p.limits()
	p.proxy()
	p.responses()
	p.upstream()
	p.affinity()
	p.backendTLS()
	p.clientTLS()
	p.canary()
	p.errors()
	p.mirror()
	p.host()
	p.trace()
	p.snippets()
	return &p.out, p.problems
}

// Worst returns the gravest effect of some problems.
func Worst(problems []Problem) Effect {
	worst := Noted
	for _, p := range problems {
		worst = max(worst, p.Effect)
	}
	return worst
}

// parser collects the settings of one Ingress.
type parser struct {
	ing      *model.Ingress
	env      Env
	out      Settings
	problems []Problem
	valid    []model.Annotation // those with a valid value, under their first name
}

// problem records what is wrong with an annotation, by its name without prefix.
func (p *parser) problem(effect Effect, reason, name, format string, args ...any) {
	p.problems = append(p.problems, Problem{effect, reason, Prefix + name, fmt.Sprintf(format, args...)})
}

// read checks names, risks and values.
func (p *parser) read() {
	policy := &p.env.Global.Policy
	for _, a := range p.ing.Annotations {
		if strings.Contains(a.Name, "/") {
			continue // of somebody else's prefix
		}
		s := table().byName[a.Name]
		if s == nil {
			p.unknown(a)
			continue
		}
		if s.Risk > policy.Risk {
			p.problem(Rejected, ReasonRisky, a.Name, "has risk %s, and annotations-risk-level admits %s at most; "+
				"remove it, or have an administrator raise that key of the ConfigMap", s.Risk, policy.Risk)
			continue
		}
		if word := forbidden(a.Value, policy.Words); word != "" {
			p.problem(Rejected, ReasonInvalid, a.Name, "has %q, which annotation-value-word-blocklist of the ConfigMap forbids", word)
			continue
		}
		p.value(s, a)
	}
}

func forbidden(value string, words []string) string {
	for _, w := range words {
		if strings.Contains(value, w) {
			return w
		}
	}
	return ""
}

// value keeps the value of a known annotation if it is valid.
func (p *parser) value(s *Spec, a model.Annotation) {
	if s.Alias == a.Name {
		if v, ok := p.ing.Annotations.Get(s.Name); ok && v != "" {
			p.problem(Noted, ReasonIgnored, a.Name, "is the older name of %s, which is set too and counts", s.Name)
			return
		}
	}
	if strings.TrimSpace(a.Value) == "" {
		if s.invalid == Denied && s.Group != "ExternalAuth" {
			p.problem(Denied, ReasonInvalid, a.Name, "is empty; remove it, or name who may pass")
		}
		return
	}
	if err := s.valid(a.Value); err != nil {
		p.problem(s.invalid, ReasonInvalid, a.Name, "%s, not %q; %s", err, shorten(a.Value), consequence(s.invalid))
		return
	}
	switch s.Verdict {
	case Ignored:
		p.problem(Noted, ReasonIgnored, a.Name, "has no effect here: %s", s.Note)
	case NotHonoured:
		if a.Value != "false" {
			p.problem(Lost, ReasonRefused, a.Name, "is not supported: %s", s.Note)
		}
	}
	p.valid = append(p.valid, model.Annotation{Name: s.Name, Value: trimLines(a.Value)})
}

func consequence(e Effect) string {
	switch e {
	case Rejected:
		return "the Ingress has no effect until it is mended"
	case Denied:
		return "all its paths answer 503 until it is mended"
	}
	return "the default counts"
}

// shorten cuts a value for messages.
func shorten(s string) string {
	const most = 80
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// trimLines removes white space at the ends of lines, as ingress-nginx does before it reads a value.
func trimLines(value string) string {
	lines := strings.Split(value, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

// unknown reports a name that ingress-nginx does not have.
func (p *parser) unknown(a model.Annotation) {
	if s := nearest(a.Name); s != "" {
		p.problem(Lost, ReasonUnknown, a.Name, "is no annotation of ingress-nginx; did you mean %s?", s)
		return
	}
	p.problem(Noted, ReasonUnknown, a.Name, "is no annotation of ingress-nginx, and has no effect; remove it")
}

// nearest returns the known name that differs from name in the fewest letters, if these are few; "": none.
func nearest(name string) string {
	best, least := "", 1+len(name)/6
	for _, s := range specs() {
		if d := distance(name, s.Name, least); d <= least && (best == "" || d < least) {
			best, least = s.Name, d
		}
	}
	return best
}

// distance returns the number of letters to insert, delete or replace between a and b (Levenshtein), or more than most.
func distance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most || len(a) > 100 {
		return most + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// get returns the valid value of an annotation.
func (p *parser) get(name string) (string, bool) {
	for _, a := range p.valid {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

func (p *parser) text(name string, to *string) bool {
	v, ok := p.get(name)
	if ok {
		*to = strings.TrimSpace(v)
	}
	return ok
}

func (p *parser) boolean(name string, to *bool) bool {
	v, ok := p.get(name)
	if ok {
		b, err := strconv.ParseBool(v)
		ok = err == nil
		if ok {
			*to = b
		}
	}
	return ok
}

// number reads a whole number; one below least is reported, and the default counts.
func (p *parser) number(name string, to *int, least int) bool {
	v, ok := p.get(name)
	if !ok {
		return false
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > 1<<31-1 {
		p.problem(Lost, ReasonInvalid, name, "it has to be at least %d, not %q; the default counts", least, shorten(v))
		return false
	}
	*to = n
	return true
}

func (p *parser) seconds(name string, to *time.Duration, least int) {
	var n int
	if p.number(name, &n, least) {
		*to = time.Duration(n) * time.Second
	}
}

// size reads a number of bytes as nginx writes it.
func (p *parser) size(name string, to *int64) {
	v, ok := p.get(name)
	if !ok {
		return
	}
	n, err := parseSize(v)
	if err != nil {
		p.problem(Lost, ReasonInvalid, name, "%s; the default counts", err)
		return
	}
	*to = n
}

// onOff reads "on" and "off".
func (p *parser) onOff(name string, to *bool) {
	if v, ok := p.get(name); ok {
		*to = strings.TrimSpace(v) == "on"
	}
}

// variables reads a text with variables; those that are not known are reported with the given effect.
func (p *parser) variables(name string, to *string, effect Effect) bool {
	var v string
	if !p.text(name, &v) {
		return false
	}
	if _, err := variable.Parse(v, nil); err != nil {
		p.problem(effect, ReasonInvalid, name, "%s; %s", err, consequence(effect))
		return false
	}
	*to = v
	return true
}

// parseSize reads a number of bytes with the units b, k, m and g of nginx.
func parseSize(value string) (int64, error) {
	value = strings.ToLower(strings.ReplaceAll(value, " ", ""))
	digits := strings.TrimRight(value, "bkmg")
	n, err := strconv.ParseInt(digits, 10, 64)
	shift := map[string]int{"": 0, "b": 0, "k": 10, "m": 20, "g": 30}
	by, ok := shift[value[len(digits):]]
	if err != nil || !ok || n < 0 || n > 1<<62>>by {
		return 0, fmt.Errorf("it has to be a size like 8m, not %q", shorten(value))
	}
	return n << by, nil
}

// duration reads a time of nginx: one or more numbers with unit, or seconds without.
func duration(words ...string) (time.Duration, error) {
	const day = 24 * time.Hour
	units := map[string]time.Duration{
		"": time.Second, "ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
		"d": day, "w": 7 * day, "M": 30 * day, "y": 365 * day,
	}
	var sum time.Duration
	for _, w := range words {
		digits := strings.TrimRight(w, "mshdwMy")
		n, err := strconv.ParseInt(digits, 10, 64)
		unit, ok := units[w[len(digits):]]
		if err != nil || !ok || n < 0 || n > int64(100*365*day/unit) || sum > 100*365*day {
			return 0, fmt.Errorf("%q is no time like 30s or 5m", shorten(w))
		}
		sum += time.Duration(n) * unit
	}
	return sum, nil
}
