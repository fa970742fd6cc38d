package show

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Explanation says what becomes of requests for a URL, and why.
type Explanation struct {
	URL string `json:"url"`
	// Steps are the decisions, in order, each with its reason.
	Steps []string `json:"steps"`
	// Outcome is what the client gets.
	Outcome string `json:"outcome"`
	// Endpoints are those that may get the request.
	Endpoints []string `json:"endpoints,omitempty"`
	// Problems are those of the Ingress that the URL belongs to.
	Problems []Problem `json:"problems,omitempty"`
}

// ErrURL means that a URL cannot be explained.
var ErrURL = errors.New("want a URL such as https://shop.example.com/cart")

// Explain returns what becomes of GET requests for a URL with scheme http or https.
func Explain(t *route.Table, problems []route.Problem, raw string) (Explanation, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return Explanation{}, fmt.Errorf("%q: %w", raw, ErrURL)
	}
	x := &explainer{table: t, url: u, out: Explanation{URL: raw}}
	x.out.Outcome = x.explain()
	for _, p := range problems {
		if x.location != nil && p.Kind == "Ingress" && p.Ref == x.location.Ingress {
			x.out.Problems = append(x.out.Problems, Problem{p.Kind + " " + p.Ref.String(), p.Reason, p.Message, p.Denied})
		}
	}
	return x.out, nil
}

type explainer struct {
	table    *route.Table
	url      *url.URL
	out      Explanation
	location *route.Location
}

func (x *explainer) say(format string, args ...any) {
	x.out.Steps = append(x.out.Steps, fmt.Sprintf(format, args...))
}

// explain goes the way of a request, and returns its end.
func (x *explainer) explain() string {
	host := x.host()
	if host.Passthrough != nil && x.url.Scheme == "https" {
		x.say("TLS is not ended here: annotation ssl-passthrough")
		return x.endpoints(host.Passthrough)
	}
	if x.url.Scheme == "https" {
		switch certificate := certificateOf(host); {
		case certificate != "":
			x.say("certificate: %s", certificate)
		default:
			x.say("certificate: the default one, as no Ingress asks for TLS at %s", hostName(host))
		}
	}
	if host.ClientTLS != nil && x.url.Scheme == "https" {
		x.say("clients have to show a certificate: Secret %s", host.ClientTLS.Secret)
	}
	if host.WWW != "" {
		x.say("the host is redirected: annotation from-to-www-redirect")
		return "redirect to " + host.WWW
	}
	raw := x.url.EscapedPath()
	if raw == "" {
		raw = "/"
	}
	path, err := route.CleanPath([]byte(raw), nil)
	if err != nil {
		return "400: " + err.Error()
	}
	if string(path) != raw {
		x.say("path %s is matched as %s", raw, path)
	}
	l := host.Match(string(path))
	if l == nil {
		return "400: the path does not begin with a slash"
	}
	x.location = l
	x.match(host, string(path))
	return x.serve(host, string(path))
}

// host finds who serves the name.
func (x *explainer) host() *route.Host {
	name := strings.TrimSuffix(strings.ToLower(x.url.Hostname()), ".")
	h := x.table.Host(name)
	switch {
	case h == x.table.Default && net.ParseIP(name) != nil:
		x.say("host %s is an address: the default host", name)
	case h == x.table.Default:
		x.say("host %s is in no rule: the default host", name)
	case h.Name == name:
		x.say("host %s has rules of its own", name)
	case strings.HasPrefix(h.Name, "*."):
		x.say("host %s is taken by %s", name, h.Name)
	default:
		x.say("host %s is an alias of %s (annotation server-alias)", name, h.Name)
	}
	return h
}

// match says why the location was chosen.
func (x *explainer) match(host *route.Host, path string) {
	l := x.location
	why := map[route.Match]string{
		route.MatchExact: "is exactly", route.MatchPrefix: "begins with", route.MatchPattern: "matches the pattern", route.MatchSlash: "lacks the slash of",
	}[l.Match]
	of := "the entry itself"
	if l.Ingress != (model.Ref{}) {
		of = "Ingress " + l.Ingress.String()
	}
	x.say("path %s %s %s of %s", path, why, l.Path, of)
	if host.Regex {
		x.say("an Ingress of the host has use-regex or rewrite-target: all %d paths are patterns, the first that matches counts", len(host.Locations))
	}
}

// serve says what the location does.
func (x *explainer) serve(host *route.Host, path string) string {
	l := x.location
	if l.Match == route.MatchSlash {
		return fmt.Sprintf("301 to %s/", path)
	}
	s := l.Settings
	switch r := s.Redirect; {
	case r.To != "":
		return fmt.Sprintf("%d to %s", r.Code, r.To)
	case path == "/" && s.Rewrite.AppRoot != "":
		return "302 to " + s.Rewrite.AppRoot
	case x.url.Scheme == "http" && (r.TLSAlways || r.TLS && host.HasTLS):
		x.say("http is redirected, as %s", map[bool]string{true: "annotation force-ssl-redirect says", false: "the host has TLS (annotation ssl-redirect: \"false\" leaves it)"}[r.TLSAlways])
		return fmt.Sprintf("%d to https", r.TLSCode)
	}
	if l.Denied != "" {
		return "503: " + l.Denied
	}
	for _, what := range applies(l) {
		x.say("applies: %s", what)
	}
	if l.Pattern != nil && s.Rewrite.Target != "" {
		x.say("the backend is asked for %s", rewritten(l, path))
	}
	if l.Canary != nil {
		x.say("a canary takes some: %s for %s (Ingress %s)", backendName(l.Canary.Backend), canaryRule(l.Canary), l.Canary.Ingress)
	}
	if l.Backend == nil {
		return "404: there is no backend"
	}
	return x.endpoints(l.Backend)
}

// endpoints says who gets requests to a backend.
func (x *explainer) endpoints(b *route.Backend) string {
	pool := x.table.Pool(b)
	if pool.Problem != "" {
		return "503: " + pool.Problem
	}
	if pool.Name != "" {
		return fmt.Sprintf("Service %s, which is %s:%d", backendName(b), pool.Name, pool.Port)
	}
	for _, e := range pool.Endpoints {
		text := e.Addr.String()
		if e.Pod != "" {
			text += " (" + e.Pod + ")"
		}
		x.out.Endpoints = append(x.out.Endpoints, text)
	}
	return fmt.Sprintf("one of %s of Service %s", counted(len(pool.Endpoints), "endpoint"), backendName(b))
}

// rewritten returns the path that the backend is asked for.
func rewritten(l *route.Location, path string) string {
	groups := l.Pattern.FindStringSubmatch(path)
	var b strings.Builder
	target := l.Settings.Rewrite.Target
	for i := 0; i < len(target); i++ {
		if target[i] == '$' && i+1 < len(target) && target[i+1] >= '1' && target[i+1] <= '9' {
			if n := int(target[i+1] - '0'); n < len(groups) {
				b.WriteString(groups[n])
			}
			i++
			continue
		}
		b.WriteByte(target[i])
	}
	return b.String()
}
