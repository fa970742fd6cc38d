package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// hostState is a host and the Ingresses that have rules for it, the oldest first.
type hostState struct {
	members []*state
	host    *Host
	locs    map[uint64]*Location // of host, by Number
}

func (h *hostState) insert(s *state) {
	i, _ := slices.BinarySearchFunc(h.members, s, older)
	h.members = slices.Insert(h.members, i, s)
}

func (h *hostState) remove(s *state) {
	if i := slices.Index(h.members, s); i >= 0 {
		h.members = slices.Delete(h.members, i, i+1)
	}
}

// draft is a location while its host is built.
type draft struct {
	of        *state // nil: of the entry itself
	path      *pathState
	loc       Location
	exact     bool
	isDefault bool
}

// needsPattern reports whether the location turns its host's paths into patterns.
func (d *draft) needsPattern() bool {
	r := &d.loc.Settings.Rewrite
	return r.Regex || r.Target != "" && r.Target != d.loc.Path
}

// hostBuilder builds one host from its members.
type hostBuilder struct {
	*Builder
	name     string
	mains    []*state
	drafts   []*draft
	host     *Host
	old      map[uint64]*Location
	problems []Problem
}

// rebuildHost makes a host anew.
func (b *Builder) rebuildHost(name string, d *dirty) {
	h := b.hosts[name]
	key := "host " + name
	delete(b.problems, key)
	b.dropClaims(name, h.host, d)
	d.names[name] = struct{}{}
	x := &hostBuilder{Builder: b, name: name, host: &Host{Name: name}, old: h.locs}
	for _, s := range h.members {
		if s.settings.Canary == nil {
			x.mains = append(x.mains, s)
		}
	}
	if name != "" && len(x.mains) == 0 {
		x.canariesWithoutMain(h.members)
		h.host, h.locs = nil, nil
		if len(h.members) == 0 {
			delete(b.hosts, name)
		}
	} else {
		x.root()
		x.locations()
		x.errorPages()
		x.hostSettings()
		x.canaries(h.members)
		x.certificate()
		x.arrange()
		h.host, h.locs = x.host, map[uint64]*Location{}
		for _, l := range x.host.Locations {
			if l.Match != MatchSlash {
				h.locs[l.Number] = l
			}
		}
		b.addClaims(name, x.host, x.mains, d)
	}
	if len(x.problems) > 0 {
		b.problems[key] = x.problems
	}
}

func (x *hostBuilder) problem(s *state, reason, format string, args ...any) {
	x.problems = append(x.problems, Problem{Kind: "Ingress", Ref: s.ing.Ref, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// display is how a host is called in messages.
func display(name string) string {
	if name == "" {
		return "of all hosts"
	}
	return name
}

// root makes the location of "/", which takes what no other does. Its settings are those of the oldest Ingress of the host, and its
// backend is that one's default backend, if it has one, else the entry's.
func (x *hostBuilder) root() {
	d := &draft{isDefault: true, loc: Location{Path: "/", Settings: &x.global.Defaults, Backend: x.entryBackend}}
	if x.name != "" {
		d.apply(x.mains[0])
		if b := x.mains[0].defaultBackend; b != nil {
			d.loc.Backend = b
		}
	} else {
		for _, s := range x.mains {
			if s.defaultBackend == nil || len(s.ing.Rules) > 0 {
				continue
			}
			if !d.isDefault {
				x.problem(s, ReasonConflict, "spec.defaultBackend: that of all hosts is the one of Ingress %s, which is older; "+
					"write a rule for a host or path of its own", d.of.ing.Ref)
				continue
			}
			d.apply(s)
			d.loc.Settings, d.loc.Backend, d.isDefault = s.catchAll, s.defaultBackend, false
		}
	}
	x.drafts = append(x.drafts, d)
}

// apply gives the location the settings of an Ingress.
func (d *draft) apply(s *state) {
	d.of = s
	l := &d.loc
	l.Ingress, l.Settings, l.Denied = s.ing.Ref, s.settings, s.denied
	l.Users, l.BackendCA, l.Errors = s.users, s.identity, s.errors
}

// locations adds the paths of all rules. Of two for the same path and type the older Ingress has it.
func (x *hostBuilder) locations() {
	type key struct {
		path  string
		exact bool
	}
	at := make(map[key]*draft, len(x.mains)+1)
	at[key{"/", false}] = x.drafts[0]
	for _, s := range x.mains {
		for _, p := range s.paths {
			if p.host != x.name || p.backend == nil {
				continue
			}
			k := key{p.path, p.exact}
			have := at[k]
			if have == nil {
				have = &draft{exact: p.exact, isDefault: true, loc: Location{Path: p.path}}
				at[k] = have
				x.drafts = append(x.drafts, have)
			}
			if !have.isDefault {
				x.conflict(s, p, have)
				continue
			}
			have.path, have.isDefault, have.loc.Backend = p, false, p.backend
			have.apply(s)
		}
	}
}

// errorPages sends answers that custom-http-errors replaces to the entry's default backend, where no default-backend is named.
func (x *hostBuilder) errorPages() {
	for _, d := range x.drafts {
		if d.loc.Errors == nil && len(d.loc.Settings.Errors.Codes) > 0 {
			d.loc.Errors = x.entryBackend
		}
	}
}

func (x *hostBuilder) conflict(s *state, p *pathState, have *draft) {
	kind := "Prefix"
	if p.exact {
		kind = "Exact"
	}
	if have.of == s {
		x.problem(s, ReasonConflict, "host %s has path %s (%s) twice; the first one counts; remove the other", display(x.name), p.path, kind)
		return
	}
	x.problem(s, ReasonConflict, "host %s, path %s (%s) is that of Ingress %s, which is older; use another path or host, or remove one of the two",
		display(x.name), p.path, kind, have.of.ing.Ref)
}

// hostSettings takes over what the first Ingress that asks for it decides for the whole host.
func (x *hostBuilder) hostSettings() {
	h := x.host
	var aliases, snippet, ciphers, client *state
	for _, s := range x.mains {
		if len(s.settings.Aliases) > 0 && x.first(&aliases, s, "server-alias") {
			h.Aliases = s.settings.Aliases
		}
		if len(s.settings.Server) > 0 && x.first(&snippet, s, "server-snippet") {
			h.Server = s.settings.Server
		}
		if s.settings.Ciphers != nil && x.first(&ciphers, s, "ssl-ciphers") {
			h.Ciphers = s.settings.Ciphers
		}
		if s.clientTLS != nil && x.first(&client, s, "auth-tls-secret") {
			h.ClientTLS = s.clientTLS
		}
		if s.settings.Passthrough && h.Passthrough == nil {
			x.passthrough(s)
		}
	}
	if client != nil && len(h.ClientTLS.CA) == 0 {
		for _, d := range x.drafts { // nobody gets in who could not be asked for a certificate
			d.loc.Denied = cmp.Or(d.loc.Denied, client.denied)
		}
	}
}

// first reports whether s is the first Ingress of the host that asks for something; others are told.
func (x *hostBuilder) first(at **state, s *state, annotation string) bool {
	if *at != nil {
		if *at != s {
			x.problem(s, ReasonHost, "%s%s counts for the whole host %s, and is that of Ingress %s, which is older; remove it from one of the two",
				settings.Prefix, annotation, display(x.name), (*at).ing.Ref)
		}
		return false
	}
	*at = s
	return true
}

// passthrough hands TLS connections to the backend of the path "/".
func (x *hostBuilder) passthrough(s *state) {
	if x.name == "" {
		x.problem(s, ReasonHost, "%sssl-passthrough needs a rule with a host, as connections are told apart by it", settings.Prefix)
		return
	}
	for _, d := range x.drafts {
		if d.loc.Path == "/" && !d.isDefault && d.of.settings.Passthrough {
			x.host.Passthrough = d.loc.Backend
			return
		}
	}
	x.problem(s, ReasonHost, "%sssl-passthrough needs the path / of host %s, whose backend gets the connections", settings.Prefix, x.name)
}

// canariesWithoutMain tells the canaries of a host that no other Ingress has.
func (x *hostBuilder) canariesWithoutMain(members []*state) {
	for _, s := range members {
		x.problem(s, ReasonCanary, "host %s has no Ingress that this one could be the canary of; add one with the same host and path", display(x.name))
	}
}

// canaries gives the locations their canaries, one each.
func (x *hostBuilder) canaries(members []*state) {
	for _, s := range members {
		if s.settings.Canary == nil {
			continue
		}
		if x.name == "" && s.defaultBackend != nil && len(s.ing.Rules) == 0 {
			c := &Canary{Ingress: s.ing.Ref, Settings: s.settings, Backend: s.defaultBackend}
			x.canary(s, x.drafts[0], c, "the default backend")
		}
		for _, p := range s.paths {
			if p.host != x.name || p.canary == nil {
				continue
			}
			i := slices.IndexFunc(x.drafts, func(d *draft) bool { return d.loc.Path == p.path && d.exact == p.exact })
			if i < 0 {
				x.problem(s, ReasonCanary, "host %s has no path %s of this type in another Ingress, which this one could be the canary of; add one",
					display(x.name), p.path)
				continue
			}
			x.canary(s, x.drafts[i], p.canary, "path "+p.path)
		}
	}
}

func (x *hostBuilder) canary(s *state, d *draft, c *Canary, what string) {
	switch {
	case d.isDefault:
		x.problem(s, ReasonCanary, "host %s, %s: no other Ingress has it that this one could be the canary of; add one", display(x.name), what)
	case d.loc.Canary != nil:
		x.problem(s, ReasonCanary, "host %s, %s has the canary %s, which is older, and there can be one; remove one of the two",
			display(x.name), what, d.loc.Canary.Ingress)
	case d.loc.Backend.Key == c.Backend.Key:
		x.problem(s, ReasonCanary, "host %s, %s: the canary has the Service and port of Ingress %s itself; name another one",
			display(x.name), what, d.of.ing.Ref)
	default:
		d.loc.Canary = c
	}
}

// certificate chooses that of the host: of the oldest Ingress that has a tls section.
func (x *hostBuilder) certificate() {
	if x.name == "" {
		return
	}
	for _, s := range x.mains {
		if len(s.certificates) == 0 {
			continue
		}
		x.host.HasTLS = true
		c := chooseCertificate(s.certificates, x.name)
		switch {
		case c == nil: // the default one, also where a Secret is bad: resolve has said so
		case !c.covers(x.name):
			x.problem(s, ReasonCertificate, "spec.tls: the certificate of Secret %s is not for host %s; the default certificate is shown; "+
				"it is for %s", c.Secret, x.name, strings.Join(c.TLS.Leaf.DNSNames, ", "))
		default:
			if now := x.config.Now(); now.After(c.TLS.Leaf.NotAfter) {
				x.problem(s, ReasonCertificate, "spec.tls: the certificate of Secret %s, shown for host %s, has expired on %s; renew it",
					c.Secret, x.name, c.TLS.Leaf.NotAfter.Format("2006-01-02"))
			}
			x.host.Certificate = c
		}
		return
	}
}

// chooseCertificate returns that of the entry which names the host, else the first one that is for it.
func chooseCertificate(entries []certificate, host string) *Certificate {
	for _, e := range entries {
		if slices.Contains(e.hosts, host) {
			return e.cert
		}
	}
	for _, e := range entries {
		if e.cert != nil && e.cert.covers(host) {
			return e.cert
		}
	}
	return nil
}

// arrange orders the locations as nginx has them, and decides how they are matched.
func (x *hostBuilder) arrange() {
	slices.SortStableFunc(x.drafts, func(a, b *draft) int {
		return cmp.Or(len(b.loc.Path)-len(a.loc.Path), strings.Compare(b.loc.Path, a.loc.Path))
	})
	x.host.Regex = slices.ContainsFunc(x.drafts, (*draft).needsPattern)
	exact := map[string]bool{}
	for _, d := range x.drafts {
		if d.exact {
			exact[d.loc.Path] = true
		}
	}
	for _, d := range x.drafts {
		l := &d.loc
		l.Host = x.name
		l.Number = x.number(l.Ingress, numberKey{x.name, l.Path, d.exact, d.isDefault})
		switch {
		case x.host.Regex:
			if !x.pattern(d, exact) {
				continue
			}
		case d.exact:
			l.Match = MatchExact
		default:
			l.Match = MatchPrefix
		}
		if l.Match != MatchPattern && d.of != nil {
			x.clean(d)
		}
		x.host.Locations = append(x.host.Locations, x.keep(l))
		if slash := l.Path[:len(l.Path)-1]; l.Match != MatchPattern && slash != "" && withSlash(slash) == l.Path {
			x.host.Locations = append(x.host.Locations, &Location{
				Host: x.name, Path: slash, Match: MatchSlash, Ingress: l.Ingress, Settings: l.Settings, Number: l.Number,
			})
		}
	}
	x.host.arrange()
}

// pattern compiles the pattern of a location; false: it cannot be, and is left out.
func (x *hostBuilder) pattern(d *draft, exact map[string]bool) bool {
	d.loc.Match = MatchPattern
	source := d.loc.Path
	if !d.exact && source != "/" && exact[source] && !d.needsPattern() {
		source = withSlash(source) // the path itself is left to the exact one
	}
	p := d.path
	if p == nil {
		p = &x.rootPath
	}
	re, err := p.compiled(source)
	if err != nil {
		x.problem(d.of, ReasonPattern, "host %s, path %s is a pattern, as use-regex or rewrite-target is set on the host, and cannot be used: %v; "+
			"only this path is lost; write it without look-around, back-references and possessive quantifiers (RE2)", display(x.name), d.loc.Path, err)
		return false
	}
	d.loc.Pattern = re
	return true
}

// clean reports a path that no normalised path can be.
func (x *hostBuilder) clean(d *draft) {
	if p, err := CleanPath([]byte(d.loc.Path), nil); err != nil || string(p) != d.loc.Path {
		x.problem(d.of, ReasonPath, "host %s, path %s is compared with decoded paths, without //, . and .., and can match nothing; write %s",
			display(x.name), d.loc.Path, cmp.Or(string(p), "a path without them"))
	}
}

// keep returns the location of the table before if it is the same.
func (x *hostBuilder) keep(l *Location) *Location {
	if old := x.old[l.Number]; old != nil && *old == *l {
		return old
	}
	return l
}
