package route

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// claim is a name that a host wants beside its own: an alias, or the one that is redirected to it. A host of that name wins.
type claim struct {
	owner    string // the host
	by       *state
	redirect bool // with this host, which is not the owner's
	deep     bool // "*.DOMAIN" for any number of labels
	host     *Host
}

// addClaims records the further names of a host.
func (b *Builder) addClaims(name string, h *Host, mains []*state, d *dirty) {
	add := func(wanted string, c claim) {
		c.owner = name
		b.claims[wanted] = append(b.claims[wanted], c)
		d.names[wanted] = struct{}{}
	}
	var by *state
	for _, s := range mains {
		if by == nil && len(s.settings.Aliases) > 0 {
			by = s
		}
	}
	for _, a := range h.Aliases {
		switch rest, domain := strings.CutPrefix(a.Name, "."); {
		case a.Pattern != nil:
			b.patternHosts[name] = struct{}{}
			d.patterns = true
		case domain:
			add(rest, claim{by: by, host: h})
			add("*."+rest, claim{by: by, host: h, deep: true})
		default:
			add(a.Name, claim{by: by, host: h, deep: strings.HasPrefix(a.Name, "*.")})
		}
	}
	for _, s := range mains {
		if s.settings.Redirect.FromToWWW && name != "" {
			if other := otherWWW(name); other != "" {
				add(other, claim{by: s, redirect: true, host: b.redirectHost(other, h)})
			}
			break
		}
	}
}

// otherWWW returns the name with or without "www."; "" for a wildcard, which has none.
func otherWWW(name string) string {
	if strings.HasPrefix(name, "*.") {
		return ""
	}
	if rest, ok := strings.CutPrefix(name, "www."); ok {
		return rest
	}
	return "www." + name
}

// redirectHost makes the host whose requests are redirected to another one.
func (b *Builder) redirectHost(name string, to *Host) *Host {
	root := &Location{Host: name, Path: "/", Match: MatchPrefix, Ingress: to.Locations[len(to.Locations)-1].Ingress, Settings: &b.global.Defaults}
	root.Number = b.number(root.Ingress, numberKey{name, "/", false, true})
	h := &Host{Name: name, WWW: to.Name, HasTLS: to.HasTLS, Locations: []*Location{root}}
	if to.Certificate != nil && to.Certificate.covers(name) {
		h.Certificate = to.Certificate
	}
	h.arrange()
	return h
}

// dropClaims takes back the further names of a host.
func (b *Builder) dropClaims(name string, h *Host, d *dirty) {
	if h == nil {
		return
	}
	wanted := []string{otherWWW(name)}
	for _, a := range h.Aliases {
		wanted = append(wanted, a.Name)
		if rest, ok := strings.CutPrefix(a.Name, "."); ok {
			wanted = append(wanted, rest, "*."+rest)
		}
	}
	for _, w := range wanted {
		claims := b.claims[w]
		kept := slices.DeleteFunc(claims, func(c claim) bool { return c.owner == name })
		if len(kept) == len(claims) {
			continue
		}
		d.names[w] = struct{}{}
		b.claims[w] = kept
		if len(kept) == 0 {
			delete(b.claims, w)
		}
	}
	if _, ok := b.patternHosts[name]; ok {
		delete(b.patternHosts, name)
		d.patterns = true
	}
}

// rename brings the table's names up to date.
func (b *Builder) rename(t *Table, d *dirty) {
	delete(d.names, "")
	if len(d.names) > 0 {
		hosts, wild, deep := t.hosts.edit(len(d.names)), t.wild.edit(0), t.deep.edit(0)
		for name := range d.names {
			own, taken, isDeep := b.resolveName(name)
			suffix, isWild := strings.CutPrefix(name, "*.")
			if !isWild {
				hosts.set(name, cmp.Or(own, taken))
				continue
			}
			wild.set(suffix, own)
			if !isDeep {
				taken = nil
			}
			deep.set(suffix, taken)
		}
		t.hosts, t.wild, t.deep = hosts.done(), wild.done(), deep.done()
	}
	if d.patterns {
		t.patterns = b.patterns()
	}
}

// resolveName returns the host of a name, else who has it as a further name; claims that lose are told.
func (b *Builder) resolveName(name string) (own, taken *Host, deep bool) {
	key := "name " + name
	delete(b.problems, key)
	if h := b.hosts[name]; h != nil {
		own = h.host
	}
	claims := slices.Clone(b.claims[name])
	slices.SortFunc(claims, func(x, y claim) int {
		if x.redirect != y.redirect {
			if x.redirect {
				return -1
			}
			return 1
		}
		return cmp.Or(older(x.by, y.by), strings.Compare(x.owner, y.owner))
	})
	winner := name
	for _, c := range claims {
		if own == nil && taken == nil {
			taken, deep, winner = c.host, c.deep, c.owner
			continue
		}
		what := "server-alias"
		if c.redirect {
			what = "from-to-www-redirect"
		}
		b.problems[key] = append(b.problems[key], Problem{
			Kind: "Ingress", Ref: c.by.ing.Ref, Reason: ReasonHost,
			Message: fmt.Sprintf("%s%s of host %s: %s is served by host %s, which has it first; this has no effect for that name", settings.Prefix, what, c.owner, name, winner),
		})
	}
	return own, taken, deep
}

// patterns returns the aliases that are patterns, in the order of their hosts, as nginx tries them.
func (b *Builder) patterns() []alias {
	var out []alias
	for _, name := range slices.Sorted(maps.Keys(b.patternHosts)) {
		for _, a := range b.hosts[name].host.Aliases {
			if a.Pattern != nil {
				out = append(out, alias{a.Pattern, b.hosts[name].host})
			}
		}
	}
	return out
}
