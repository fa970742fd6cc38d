package check

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// problems adds those of the route table, and returns the objects that were not read.
func (c *checker) problems(x *Object, ing *model.Ingress) (elsewhere []string) {
	note := func(what string) {
		if !slices.Contains(elsewhere, what) {
			elsewhere = append(elsewhere, what)
		}
	}
	missing := regexp.MustCompile(`((?:Secret|ConfigMap) [^ :]+): ` + Missing)
	service := regexp.MustCompile(`^(Service [^ ]+) does not exist`)
	for _, p := range c.by[object{"Ingress", ing.Ref}] {
		if m := missing.FindStringSubmatch(p.Message); m != nil && c.partial {
			note(m[1])
			continue
		}
		if m := service.FindStringSubmatch(p.Message); m != nil && c.partial {
			note(m[1])
			continue
		}
		level, remark := judge(p)
		x.add(level, p.Reason, p.Message+remark)
	}
	return elsewhere
}

// judge returns how much a problem matters to who comes from ingress-nginx.
func judge(p route.Problem) (level Level, remark string) {
	switch p.Reason {
	case settings.ReasonInvalid, settings.ReasonRisky, settings.ReasonPath:
		if p.Denied {
			return Breaks, " (ingress-nginx refuses it too)"
		}
		return Note, " (as in ingress-nginx)"
	case settings.ReasonUnknown:
		return Note, " (ingress-nginx ignores it too)"
	case settings.ReasonIgnored, route.ReasonConflict, route.ReasonHost, route.ReasonCertificate, route.ReasonCanary, route.ReasonBackend:
		return Note, ""
	case settings.ReasonReference, route.ReasonSecret:
		return Breaks, " (ingress-nginx answers 503 too)"
	case settings.ReasonSnippet:
		switch {
		case p.Denied:
			return Breaks, ""
		case strings.Contains(p.Message, "allow-snippet-annotations"):
			return Note, ""
		}
		return Differs, ""
	case route.ReasonPattern:
		return Breaks, ""
	}
	return Differs, "" // what is not supported
}

// annotations lists those that work, with what differs in some of them.
func (c *checker) annotations(x *Object, ing *model.Ingress) {
	said := map[string]bool{}
	for _, f := range x.Findings {
		name, ok := strings.CutPrefix(f.Message, settings.Prefix)
		if name, _, _ = strings.Cut(name, ":"); ok {
			said[name] = true
		}
	}
	for _, a := range ing.Annotations {
		spec, ok := settings.Find(a.Name)
		if !ok || said[a.Name] || spec.Verdict != settings.Works {
			continue
		}
		x.Same = append(x.Same, a.Name)
		if spec.Note != "" && (a.Name == "server-alias" && strings.Contains(a.Value, "~") || a.Name == "canary-by-header-pattern") {
			x.add(Note, "WorthKnowing", settings.Prefix+a.Name+": "+spec.Note)
		}
	}
}

// hosts adds what is to be known of the hosts of an Ingress.
func (c *checker) hosts(x *Object, ing *model.Ingress) {
	for _, rule := range ing.Rules {
		name := strings.ToLower(rule.Host)
		if suffix, wild := strings.CutPrefix(name, "*."); wild {
			x.add(Differs, "Wildcard", fmt.Sprintf("host %s is for one label, as the Ingress API says; ingress-nginx also serves a.b.%s with it; "+
				"if there are such names, add a rule for *.b.%s, or server-alias: *.%s", name, suffix, suffix, suffix))
		}
		host := c.table.Default
		if name != "" {
			host = c.table.Host(strings.Replace(name, "*", "any-label", 1))
		}
		if host.Name == name {
			c.regexHost(x, ing, host)
		}
	}
}

// regexHost tells of paths that became patterns because of another Ingress, or although they are Exact or Prefix.
func (c *checker) regexHost(x *Object, ing *model.Ingress, host *route.Host) {
	if !host.Regex {
		return
	}
	by := model.Ref{}
	for _, l := range host.Locations {
		r := l.Settings.Rewrite
		if r.Regex || r.Target != "" && r.Target != l.Path {
			by = l.Ingress
			break
		}
	}
	if by == ing.Ref {
		return
	}
	x.add(Note, "RegexHost", fmt.Sprintf("every path of host %s is a case-insensitive pattern, by the beginning, as use-regex or rewrite-target is set on Ingress %s: "+
		"Exact /a also takes /abc; so it is in ingress-nginx; give the Ingress with patterns a host of its own if that is not wanted", host.Name, by))
}

// use is a location's Service, as one Ingress asks for it.
type use struct {
	by       model.Ref
	upstream *settings.Upstream
}

// usesOf returns who asks for each Service's port, each Ingress once.
func usesOf(t *route.Table) map[route.Key][]use {
	out := map[route.Key][]use{}
	add := func(h *route.Host) {
		for _, l := range h.Locations {
			if l.Backend == nil || l.Ingress == (model.Ref{}) {
				continue
			}
			k := l.Backend.Key
			if !slices.ContainsFunc(out[k], func(u use) bool { return u.by == l.Ingress }) {
				out[k] = append(out[k], use{l.Ingress, l.Backend.Upstream})
			}
		}
	}
	for h := range t.Hosts() {
		add(h)
	}
	add(t.Default)
	return out
}

// upstreams tells of Services that several Ingresses name with different settings: in ingress-nginx those of the first one count for all.
func (c *checker) upstreams(x *Object, ing *model.Ingress) {
	seen := map[string]bool{}
	for _, key := range c.keys(ing) {
		uses := c.uses[key]
		own := slices.IndexFunc(uses, func(u use) bool { return u.by == ing.Ref })
		if own < 0 || seen[key.String()] {
			continue
		}
		seen[key.String()] = true
		for _, u := range uses {
			if !sameUpstream(u.upstream, uses[own].upstream) {
				x.add(Differs, "SharedService", fmt.Sprintf("Service %s has other settings (load-balance, upstream-hash-by, affinity or service-upstream) in "+
					"Ingress %s; each Ingress's count for itself here, while in ingress-nginx those of the older one count for both", key, u.by))
				break
			}
		}
	}
}

// keys returns the Services' ports that an Ingress names.
func (c *checker) keys(ing *model.Ingress) []route.Key {
	var out []route.Key
	add := func(b *model.IngressBackend) {
		if b != nil && b.Service != "" {
			out = append(out, route.Key{Service: model.Ref{Namespace: ing.Ref.Namespace, Name: b.Service}, Name: b.PortName, Number: b.Port})
		}
	}
	add(ing.Default)
	for _, rule := range ing.Rules {
		for i := range rule.Paths {
			add(&rule.Paths[i].Backend)
		}
	}
	return out
}

// sameUpstream reports whether two Ingresses ask for the same of what belongs to a Service in ingress-nginx.
func sameUpstream(a, b *settings.Upstream) bool {
	affinity := func(u *settings.Upstream) settings.Affinity {
		if u.Affinity == nil {
			return settings.Affinity{}
		}
		v := *u.Affinity
		v.Secure = nil
		return v
	}
	return a.Balance == b.Balance && a.HashBy == b.HashBy && a.HashSubset == b.HashSubset && a.Service == b.Service && affinity(a) == affinity(b)
}
