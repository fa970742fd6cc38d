// Package check says, per Ingress, what behaves as it does with ingress-nginx, what does not, and what to change: the first thing that
// somebody runs who wants to leave ingress-nginx.
package check

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/manifest"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Level is how much a finding matters to who migrates.
type Level int

// The levels.
const (
	// Same: as with ingress-nginx.
	Same Level = iota
	// Note: as with ingress-nginx, but worth knowing, or not checked.
	Note
	// Differs: requests are served in another way than by ingress-nginx.
	Differs
	// Breaks: requests that ingress-nginx serves, or should, are not.
	Breaks
)

var levelNames = [...]string{"same", "note", "differs", "breaks"}

// String returns the level in one word.
func (l Level) String() string { return levelNames[l] }

// MarshalText makes the level a word in JSON and YAML.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is one thing about an object.
type Finding struct {
	Level   Level  `json:"level"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Object is what was found about one Ingress, or about the ConfigMap of the entry.
type Object struct {
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Place     string    `json:"place,omitempty"` // the file
	Level     Level     `json:"level"`           // the worst of Findings
	Hosts     []string  `json:"hosts,omitempty"`
	Same      []string  `json:"sameAnnotations,omitempty"` // annotations that do what they did
	Findings  []Finding `json:"findings,omitempty"`
}

// Report is all that was found.
type Report struct {
	Objects []Object `json:"objects"`
	// Skipped are Ingresses of other classes.
	Skipped []string `json:"skipped,omitempty"`
	// Unread are documents that could not be read.
	Unread []string `json:"unread,omitempty"`
}

// Config is what a check is told.
type Config struct {
	// ConfigMap is that of the entry; zero: the defaults of ingress-nginx are assumed.
	ConfigMap model.Ref
	// Owns says which Ingresses are checked; nil: all.
	Owns func(*model.Ingress) bool
	// Partial is true where the objects are not those of a whole cluster: what is missing is somewhere else.
	Partial bool
}

// Missing is the problem of Secrets and ConfigMaps that are not among the objects of a partial check.
const Missing = "is not among the objects that were read"

// Check reports on all Ingresses of some objects.
func Check(o *manifest.Objects, config Config) *Report {
	r := &Report{}
	for _, err := range o.Errors {
		r.Unread = append(r.Unread, err.Error())
	}
	snap := o.Snapshot
	for ref, ing := range snap.Ingresses.All() {
		if config.Owns != nil && !config.Owns(ing) {
			snap.Ingresses = snap.Ingresses.Without(ref)
			r.Skipped = append(r.Skipped, fmt.Sprintf("%s (class %s)", ref, cmp.Or(ing.Class, ing.ClassAnnotation, "none")))
		}
	}
	slices.Sort(r.Skipped)
	builder := route.New(route.Config{ConfigMap: config.ConfigMap})
	builder.Update(&snap, model.Changes{All: true}) // so that it knows what the ConfigMap admits
	fillMissing(&snap, builder)
	table, problems := builder.Update(&snap, model.Changes{All: true})
	c := &checker{snap: &snap, table: table, partial: config.Partial, uses: usesOf(table), by: map[object][]route.Problem{}}
	for _, p := range problems {
		c.by[object{p.Kind, p.Ref}] = append(c.by[object{p.Kind, p.Ref}], p)
	}
	if config.ConfigMap != (model.Ref{}) {
		r.Objects = append(r.Objects, c.configMap(config.ConfigMap))
	}
	for _, ing := range sorted(snap.Ingresses.All()) {
		x := c.ingress(ing)
		x.Place = o.Places[ing.Ref]
		r.Objects = append(r.Objects, x)
	}
	return r
}

// Worst returns the gravest level of the report; documents that could not be read break.
func (r *Report) Worst() Level {
	worst := Same
	if len(r.Unread) > 0 {
		worst = Breaks
	}
	for _, o := range r.Objects {
		worst = max(worst, o.Level)
	}
	return worst
}

func sorted(all iter.Seq2[model.Ref, *model.Ingress]) []*model.Ingress {
	var out []*model.Ingress
	for _, ing := range all {
		out = append(out, ing)
	}
	slices.SortFunc(out, func(a, b *model.Ingress) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
	return out
}

// References returns the Secrets and ConfigMaps that the Ingresses to be checked name, and that are not among the objects.
func References(o *manifest.Objects, config Config) (secrets, configMaps []model.Ref) {
	snap := o.Snapshot
	builder := route.New(route.Config{ConfigMap: config.ConfigMap})
	builder.Update(&snap, model.Changes{All: true})
	if m, ok := snap.ConfigMaps.Get(config.ConfigMap); ok {
		configMaps = append(configMaps, settings.GlobalReferences(m)...)
	}
	seen := map[model.Ref]bool{}
	for _, ing := range snap.Ingresses.All() {
		if config.Owns != nil && !config.Owns(ing) {
			continue
		}
		for _, ref := range builder.References(ing) {
			if _, ok := snap.Secrets.Get(ref); !ok && !seen[ref] {
				seen[ref] = true
				secrets = append(secrets, ref)
			}
		}
		for _, ref := range builder.ConfigMaps(ing) {
			if _, ok := snap.ConfigMaps.Get(ref); !ok && !slices.Contains(configMaps, ref) {
				configMaps = append(configMaps, ref)
			}
		}
	}
	return secrets, configMaps
}

// fillMissing gives the Secrets and ConfigMaps that are named, and were not read, a problem that says so.
func fillMissing(snap *model.Snapshot, builder *route.Builder) {
	for _, ing := range snap.Ingresses.All() {
		for _, ref := range builder.References(ing) {
			if _, ok := snap.Secrets.Get(ref); !ok {
				snap.Secrets = snap.Secrets.With(ref, &model.Secret{Ref: ref, Problem: Missing})
			}
		}
		for _, ref := range builder.ConfigMaps(ing) {
			if _, ok := snap.ConfigMaps.Get(ref); !ok {
				snap.ConfigMaps = snap.ConfigMaps.With(ref, &model.ConfigMap{Ref: ref, Problem: Missing})
			}
		}
	}
}

type object struct {
	kind string
	ref  model.Ref
}

// checker turns problems into findings.
type checker struct {
	snap    *model.Snapshot
	table   *route.Table
	partial bool
	uses    map[route.Key][]use
	by      map[object][]route.Problem
}

func (c *checker) configMap(ref model.Ref) Object {
	x := Object{Kind: "ConfigMap", Namespace: ref.Namespace, Name: ref.Name}
	m, ok := c.snap.ConfigMaps.Get(ref)
	if !ok {
		x.add(Note, settings.ReasonReference, "was not read; the defaults of ingress-nginx are assumed")
		return x
	}
	_, problems := settings.ParseGlobal(ref, m.Data, func(r model.Ref) *model.ConfigMap {
		v, _ := c.snap.ConfigMaps.Get(r)
		return v
	})
	lost := map[string]bool{}
	for _, p := range problems {
		level := Note // a bad value or an unknown key has no effect in ingress-nginx either
		if strings.HasPrefix(p.Message, "is not supported") || p.Field == "use-gzip" || strings.HasSuffix(p.Field, "-snippet") || strings.HasPrefix(p.Field, "global-auth-") {
			level = Differs
		}
		lost[p.Field] = true
		x.add(level, p.Reason, p.Field+": "+p.Message)
	}
	for k := range settings.GlobalKeys() {
		if _, set := m.Data[k.Name]; set && !lost[k.Name] {
			x.Same = append(x.Same, k.Name)
		}
	}
	return x
}

func (x *Object) add(level Level, reason, message string) {
	f := Finding{level, reason, message}
	if !slices.Contains(x.Findings, f) {
		x.Findings = append(x.Findings, f)
		x.Level = max(x.Level, level)
	}
}

func (c *checker) ingress(ing *model.Ingress) Object {
	x := Object{Kind: "Ingress", Namespace: ing.Ref.Namespace, Name: ing.Ref.Name}
	for _, rule := range ing.Rules {
		if !slices.Contains(x.Hosts, rule.Host) && rule.Host != "" {
			x.Hosts = append(x.Hosts, rule.Host)
		}
	}
	elsewhere := c.problems(&x, ing)
	c.annotations(&x, ing)
	c.hosts(&x, ing)
	c.upstreams(&x, ing)
	if len(elsewhere) > 0 {
		x.add(Note, "NotChecked", "names what "+Missing+", and was not checked: "+strings.Join(elsewhere, ", "))
	}
	slices.SortStableFunc(x.Findings, func(a, b Finding) int { return int(b.Level - a.Level) })
	return x
}
