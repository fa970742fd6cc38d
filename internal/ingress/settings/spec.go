package settings

import (
	"iter"
	"slices"
)

// Prefix is that of ingress-nginx's annotations.
const Prefix = "nginx.ingress.kubernetes.io/"

// Spec is one annotation of ingress-nginx: a row of the table in docs/ingress-nginx.md.
type Spec struct {
	Name, Group string
	// Alias is an older name that is read where Name is not set; "": none.
	Alias string
	Risk  Risk
	// Host is true for those of which the first Ingress of a host decides for the whole host.
	Host    bool
	Verdict Verdict
	// Note is what differs from ingress-nginx, or why it is not honoured.
	Note string

	valid   func(value string) error
	invalid Effect // what becomes of a value that is not valid
}

// Verdict is what becomes of an annotation.
type Verdict uint8

// The verdicts.
const (
	// Works: as in ingress-nginx, but for Note.
	Works Verdict = iota
	// Ignored: it changes nothing that a client or a backend could see; an Event says so.
	Ignored
	// NotHonoured: what it asks for is not done; an Event says so.
	NotHonoured
)

// String returns the verdict as the documentation has it.
func (v Verdict) String() string {
	return [...]string{"works", "ignored", "refused"}[v]
}

// String returns the risk as ingress-nginx spells it.
func (r Risk) String() string {
	return [...]string{"Low", "Medium", "High", "Critical"}[r]
}

// Effect is what a Problem costs, from nothing to everything.
type Effect uint8

// The effects.
const (
	// Noted: it changes nothing, or is worth knowing.
	Noted Effect = iota
	// Lost: the annotation, or part of it, has no effect; the default counts.
	Lost
	// Denied: every location of the Ingress answers 503.
	Denied
	// Rejected: the Ingress has no effect at all.
	Rejected
)

// String returns the effect as reports have it.
func (e Effect) String() string {
	return [...]string{"noted", "lost", "denied", "rejected"}[e]
}

// Specs returns the annotations in the order of groups.
func Specs() iter.Seq[Spec] {
	return slices.Values(specs())
}

// Find returns the annotation of a name without prefix, which may be an alias.
func Find(name string) (Spec, bool) {
	if s := table().byName[name]; s != nil {
		return *s, true
	}
	return Spec{}, false
}
