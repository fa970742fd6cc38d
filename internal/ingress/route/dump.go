package route

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Hosts returns the hosts in the order of their names, each once: without the default one, but with those that only redirect to
// another.
func (t *Table) Hosts() iter.Seq[*Host] {
	var out []*Host
	for name, h := range t.hosts.all() {
		if name == h.Name {
			out = append(out, h)
		}
	}
	for suffix, h := range t.wild.all() {
		if "*."+suffix == h.Name {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b *Host) int { return strings.Compare(a.Name, b.Name) })
	return slices.Values(out)
}

// Aliases returns the further names under which the table serves a host: those of its Aliases that no other host has first.
func (t *Table) Aliases(h *Host) []settings.Alias {
	var out []settings.Alias
	for _, a := range h.Aliases {
		name, domain := strings.CutPrefix(a.Name, ".")
		suffix, wild := strings.CutPrefix(a.Name, "*.")
		switch {
		case a.Pattern != nil,
			wild && t.deep.get(suffix) == h,
			domain && (t.hosts.get(name) == h || t.deep.get(name) == h),
			!wild && !domain && t.hosts.get(a.Name) == h:
			out = append(out, a)
		}
	}
	return out
}

// Dump returns the table as text for people and golden files: hosts in the order of their names, locations in that of nginx.
func (t *Table) Dump() string {
	var b strings.Builder
	for h := range t.Hosts() {
		t.DumpHost(&b, h)
	}
	if t.Default != nil {
		t.DumpHost(&b, t.Default)
	}
	for _, s := range t.Streams {
		fmt.Fprintf(&b, "%s %d → %s", s.Protocol, s.Port, t.backend(s.Backend))
		if s.ProxyIn {
			b.WriteString(", PROXY protocol from clients")
		}
		if s.ProxyOut {
			b.WriteString(", PROXY protocol to endpoints")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// DumpHost writes one host of the table, as in Dump.
func (t *Table) DumpHost(b *strings.Builder, h *Host) {
	fmt.Fprintf(b, "host %s%s\n", display(h.Name), t.traits(h))
	for _, l := range h.Locations {
		t.dumpLocation(b, l)
	}
}

// traits returns what holds for a host as a whole.
func (t *Table) traits(h *Host) string {
	var out []string
	if h.WWW != "" {
		out = append(out, "redirected to "+h.WWW)
	}
	switch {
	case h.Certificate != nil:
		out = append(out, "tls "+h.Certificate.Secret.String())
	case h.HasTLS:
		out = append(out, "tls with the default certificate")
	}
	if h.Regex {
		out = append(out, "paths are patterns")
	}
	if h.ClientTLS != nil {
		out = append(out, "client certificates of "+h.ClientTLS.Secret.String())
	}
	if h.Passthrough != nil {
		out = append(out, "TLS passed through to "+h.Passthrough.Key.String())
	}
	for _, a := range t.Aliases(h) {
		out = append(out, "alias "+a.Name)
	}
	if len(h.Server) > 0 {
		out = append(out, fmt.Sprintf("snippet of %d directives", len(h.Server)))
	}
	if len(out) == 0 {
		return ""
	}
	return " (" + strings.Join(out, ", ") + ")"
}

// String returns the way of matching, as in Dump.
func (m Match) String() string {
	return [...]string{"exact", "prefix", "pattern", "redirect"}[m]
}

func (t *Table) dumpLocation(b *strings.Builder, l *Location) {
	fmt.Fprintf(b, "  %-8s %s", l.Match, l.Path)
	if l.Match == MatchSlash {
		fmt.Fprintf(b, " → 301 %s/\n", l.Path)
		return
	}
	if target := l.Settings.Rewrite.Target; target != "" && target != l.Path {
		b.WriteString(" as " + target)
	}
	switch {
	case l.Denied != "":
		b.WriteString(" → 503: " + l.Denied)
	case l.Settings.Redirect.To != "":
		fmt.Fprintf(b, " → %d %s", l.Settings.Redirect.Code, l.Settings.Redirect.To)
	case l.Backend == nil:
		b.WriteString(" → 404")
	default:
		b.WriteString(" → " + t.backend(l.Backend))
	}
	if l.Ingress != (model.Ref{}) {
		b.WriteString(" (Ingress " + l.Ingress.String() + ")")
	}
	b.WriteString("\n")
	if c := l.Canary; c != nil {
		fmt.Fprintf(b, "           canary → %s (Ingress %s)\n", t.backend(c.Backend), c.Ingress)
	}
	if l.Errors != nil {
		fmt.Fprintf(b, "           errors → %s\n", t.backend(l.Errors))
	}
}

// backend describes a backend and where its requests go now.
func (t *Table) backend(b *Backend) string {
	p := t.Pool(b)
	var to []string
	for _, e := range p.Endpoints {
		to = append(to, e.Addr.String())
	}
	switch {
	case p.Name != "":
		to = []string{fmt.Sprintf("%s:%d", p.Name, p.Port)}
	case len(to) == 0:
		to = []string{p.Problem}
	}
	return fmt.Sprintf("%s [%s]", b.Key, strings.Join(to, " "))
}

// String returns "NAMESPACE/NAME:PORT".
func (k Key) String() string { return k.Service.String() + ":" + k.port() }
