package show

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Listing is what is in force, as people and programs read it.
type Listing struct {
	// Since is when it was put in force.
	Since time.Time `json:"since"`
	// Certificate is the Secret of the certificate for hosts that have none; "": one of our own.
	Certificate string   `json:"defaultCertificate,omitempty"`
	Hosts       []Host   `json:"hosts"`
	Streams     []Stream `json:"streams,omitempty"`
	// Problems are those of the listed hosts' Ingresses, and of objects that are no Ingresses.
	Problems []Problem `json:"problems,omitempty"`
}

// Host is one server.
type Host struct {
	// Name is "*" for the host that takes what no other one does.
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"`
	// Patterns is true where every path is a case-insensitive pattern, the first that matches counting.
	Patterns bool `json:"patterns,omitempty"`
	// TLS is the Secret of its certificate, "default certificate", or "" where no Ingress asks for TLS.
	TLS string `json:"tls,omitempty"`
	// Clients says how certificates of clients are asked for; "": they are not.
	Clients     string     `json:"clientCertificates,omitempty"`
	Passthrough string     `json:"passthrough,omitempty"`
	RedirectTo  string     `json:"redirectTo,omitempty"`
	Locations   []Location `json:"locations,omitempty"`
}

// Location is one path of a host, in the order in which the engine looks at them.
type Location struct {
	Path    string `json:"path"`
	Match   string `json:"match"`
	Ingress string `json:"ingress,omitempty"`
	Backend string `json:"backend,omitempty"`
	// Endpoints is how many there are; Problem is why there are none, or why all requests are refused.
	Endpoints int    `json:"endpoints"`
	Problem   string `json:"problem,omitempty"`
	Canary    string `json:"canary,omitempty"`
	// Applies is what happens to requests besides.
	Applies []string `json:"applies,omitempty"`
}

// Stream is a TCP or UDP port.
type Stream struct {
	Port    string `json:"port"`
	Backend string `json:"backend"`
	Problem string `json:"problem,omitempty"`
}

// Problem is what is not honoured of an object.
type Problem struct {
	Object  string `json:"object"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Denied  bool   `json:"denied,omitempty"`
}

// List returns the listing of a table; of one host alone, where host is not "". A name that several hosts would serve is that of
// who serves it, as in requests.
func List(t *route.Table, problems []route.Problem, since time.Time, host string) Listing {
	out := Listing{Since: since}
	if t.Certificate != nil {
		out.Certificate = t.Certificate.Secret.String()
	}
	var hosts []*route.Host
	if host != "" {
		hosts = append(hosts, t.Host(strings.ToLower(host)))
	} else {
		hosts = slices.SortedFunc(t.Hosts(), func(a, b *route.Host) int { return cmp.Compare(a.Name, b.Name) })
		hosts = append(hosts, t.Default)
		for i := range t.Streams {
			out.Streams = append(out.Streams, stream(t, &t.Streams[i]))
		}
	}
	ingresses := map[model.Ref]bool{}
	for _, h := range hosts {
		out.Hosts = append(out.Hosts, hostOf(t, h))
		for _, l := range h.Locations {
			ingresses[l.Ingress] = true
		}
	}
	for _, p := range problems {
		if host == "" || p.Kind != "Ingress" || ingresses[p.Ref] {
			out.Problems = append(out.Problems, Problem{p.Kind + " " + p.Ref.String(), p.Reason, p.Message, p.Denied})
		}
	}
	return out
}

func hostOf(t *route.Table, h *route.Host) Host {
	out := Host{Name: hostName(h), Patterns: h.Regex, TLS: certificateOf(h), RedirectTo: h.WWW}
	for _, a := range t.Aliases(h) {
		if a.Pattern != nil {
			out.Aliases = append(out.Aliases, "~"+a.Pattern.String())
		} else {
			out.Aliases = append(out.Aliases, a.Name)
		}
	}
	if h.ClientTLS != nil {
		out.Clients = "Secret " + h.ClientTLS.Secret.String()
	}
	if h.Passthrough != nil {
		out.Passthrough = backendName(h.Passthrough)
	}
	for _, l := range h.Locations {
		out.Locations = append(out.Locations, locationOf(t, l))
	}
	return out
}

func hostName(h *route.Host) string { return cmp.Or(h.Name, "*") }

func certificateOf(h *route.Host) string {
	switch {
	case h.Certificate != nil:
		return "Secret " + h.Certificate.Secret.String()
	case h.HasTLS:
		return "default certificate"
	}
	return ""
}

func locationOf(t *route.Table, l *route.Location) Location {
	out := Location{Path: l.Path, Match: matchName(l.Match), Problem: l.Denied, Applies: applies(l)}
	if l.Ingress != (model.Ref{}) {
		out.Ingress = l.Ingress.String()
	}
	if l.Backend != nil {
		pool := t.Pool(l.Backend)
		out.Backend, out.Endpoints = backendName(l.Backend), len(pool.Endpoints)
		if pool.Name != "" {
			out.Backend += fmt.Sprintf(" (%s:%d)", pool.Name, pool.Port)
		}
		out.Problem = cmp.Or(out.Problem, pool.Problem)
	}
	if l.Canary != nil {
		out.Canary = fmt.Sprintf("%s, %s", backendName(l.Canary.Backend), canaryRule(l.Canary))
	}
	return out
}

func matchName(m route.Match) string {
	switch m {
	case route.MatchExact:
		return "exact"
	case route.MatchPrefix:
		return "prefix"
	case route.MatchPattern:
		return "pattern"
	}
	return "slash"
}

func backendName(b *route.Backend) string {
	port := b.Key.Name
	if port == "" && b.Key.Number != 0 {
		port = fmt.Sprint(b.Key.Number)
	}
	if port == "" {
		return b.Key.Service.String()
	}
	return b.Key.Service.String() + ":" + port
}

func stream(t *route.Table, s *route.Stream) Stream {
	out := Stream{Port: fmt.Sprintf("%s %d", s.Protocol, s.Port)}
	if s.Backend != nil {
		out.Backend, out.Problem = backendName(s.Backend), t.Pool(s.Backend).Problem
	}
	return out
}
