package policy

import (
	"cmp"
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// engine is an Engine without an event loop: what blocks is run at once. Its clock stands still until a test moves it.
type engine struct {
	now  time.Time
	body []byte
}

func newEngine() *engine { return &engine{now: time.Unix(1_700_000_000, 0)} }

func (e *engine) Now() time.Time    { return e.now }
func (e *engine) Await(f func())    { f() }
func (e *engine) Go(f func(Engine)) { f(e) }
func (e *engine) Body(limit int64) ([]byte, error) {
	if int64(len(e.body)) > limit {
		return nil, errors.New("too long")
	}
	return e.body, nil
}

// pools has the endpoints of all backends.
type pools map[string][]string // by name of the Service

func (p pools) Pool(b *route.Backend) *route.Pool {
	pool := &route.Pool{}
	for _, addr := range p[b.Key.Service.Name] {
		pool.Endpoints = append(pool.Endpoints, route.Endpoint{Addr: netip.MustParseAddrPort(addr)})
	}
	return pool
}

// site is one host with one location, which most tests need no more than.
type site struct {
	t        *testing.T
	engine   *engine
	global   *settings.Global
	state    *State
	host     *route.Host
	location *route.Location
	pools    pools
	x        *Exchange
	policy   *Policy
	compiled bool
}

// newSite has an Ingress "default/web" for example.com and path, with annotations as lines of "name: value".
func newSite(t *testing.T, path, annotations string) *site {
	t.Helper()
	global := settings.Default()
	global.Policy.Snippets, global.Policy.Risk = true, settings.Critical
	s := &site{t: t, engine: newEngine(), global: global, state: NewState(nil), pools: pools{"web": {"10.0.0.1:80"}}, x: &Exchange{}}
	parsed := parse(t, global, annotations)
	s.location = &route.Location{
		Host: "example.com", Path: path, Match: route.MatchPrefix, Ingress: model.Ref{Namespace: "default", Name: "web"},
		Settings: parsed, Number: 1, Backend: backend(1, "web", &parsed.Upstream),
	}
	if parsed.Rewrite.Target != "" {
		s.location.Match, s.location.Pattern = route.MatchPattern, regexp.MustCompile("(?i)^"+path)
	}
	s.host = &route.Host{Name: "example.com", Locations: []*route.Location{s.location}, Server: parsed.Server}
	return s
}

func parse(t *testing.T, global *settings.Global, annotations string) *settings.Settings {
	t.Helper()
	ing := &model.Ingress{Ref: model.Ref{Namespace: "default", Name: "web"}}
	for line := range strings.SplitSeq(annotations, "\n") {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			value = strings.ReplaceAll(value, `\n`, "\n")
			ing.Annotations = append(ing.Annotations, model.Annotation{Name: name, Value: value})
		}
	}
	slices.SortFunc(ing.Annotations, func(a, b model.Annotation) int { return cmp.Compare(a.Name, b.Name) })
	parsed, problems := settings.Parse(ing, settings.Env{Global: global})
	if w := settings.Worst(problems); w > settings.Noted {
		t.Fatalf("annotations: %v", problems)
	}
	return parsed
}

func backend(id uint32, service string, upstream *settings.Upstream) *route.Backend {
	return &route.Backend{
		Key: route.Key{Service: model.Ref{Namespace: "default", Name: service}, Number: 80}, ID: id, Upstream: upstream,
	}
}

// asks is a request: "GET https://example.com/path?query" and lines of fields. The client is 192.0.2.1.
func (s *site) request(text string) *Exchange {
	s.t.Helper()
	if !s.compiled {
		s.policy = NewEntry(s.global, s.state, Ports{HTTP: 80, HTTPS: 443}).Compile(s.host, s.location)
		s.compiled = true
	}
	line, fields, _ := strings.Cut(text, "\n")
	method, target, _ := strings.Cut(line, " ")
	u, err := url.Parse(target)
	if err != nil {
		s.t.Fatal(err)
	}
	r := &message.Request{
		Method: method, Target: []byte(u.RequestURI()), Path: u.Path, Query: []byte(u.RawQuery), Host: u.Hostname(),
		Authority: []byte(u.Host), Major: 1, Minor: 1, ID: []byte("id-1"),
		Peer: netip.MustParseAddrPort("192.0.2.1:40000"), Local: netip.MustParseAddrPort("192.0.2.100:80"),
	}
	if u.Scheme == "https" {
		r.TLS = &message.TLS{ServerName: u.Hostname(), Version: 0x0304}
		r.Local = netip.MustParseAddrPort("192.0.2.100:443")
	}
	for f := range strings.SplitSeq(fields, "\n") {
		name, value, ok := strings.Cut(strings.TrimSpace(f), ": ")
		switch {
		case ok && name == "Peer":
			r.Peer = netip.MustParseAddrPort(value)
		case ok:
			r.Header.AddString(name, value)
		}
	}
	x := s.x
	x.Request, x.Engine, x.Host, x.Location, x.Pools = r, s.engine, s.host, s.location, s.pools
	NewEntry(s.global, s.state, Ports{HTTP: 80, HTTPS: 443}).Begin(x)
	return x
}

// outcome runs a request through all policies and says what became of it: an answer, or the request that the backend gets. A backend
// answers 200 with fields, or with status if it is the first of these.
func (s *site) outcome(request string, response ...string) string {
	s.t.Helper()
	x := s.request(request)
	defer x.End()
	var out []string
	status := 200
	if s.policy.Admit(x) {
		b := s.policy.Backend(x)
		s.policy.Request(x)
		out = append(out, s.forwarded(x, b)...)
	} else {
		status = x.Answer.Status
	}
	r := &message.Response{Status: status, Header: x.Answer.Header}
	for i, f := range response {
		if i == 0 && len(f) == 3 {
			r.Status = atoi(s.t, f)
			continue
		}
		name, value, _ := strings.Cut(f, ": ")
		r.Header.AddString(name, value)
	}
	s.policy.Response(x, r)
	if x.Answer.Status != 0 || len(response) > 0 {
		out = append(out, answered(r, x.Answer.Body)...)
	}
	return strings.Join(out, "\n")
}

func (s *site) forwarded(x *Exchange, b *route.Backend) []string {
	target, host := x.Request.Target, x.Request.Authority
	if x.Target != nil {
		target = x.Target
	}
	if x.HostField != nil {
		host = x.HostField
	}
	out := []string{x.Method + " " + string(target)}
	if string(host) != string(x.Request.Authority) {
		out = append(out, "host "+string(host))
	}
	if b.Key.Service.Name != "web" {
		out = append(out, "to "+b.Key.Service.Name)
	}
	var fields []string
	for _, f := range x.Edits {
		fields = append(fields, "set "+string(f.Name)+": "+string(f.Value))
	}
	slices.Sort(fields)
	return append(out, fields...)
}

func answered(r *message.Response, body []byte) []string {
	out := []string{status(r.Status)}
	var fields []string
	for _, f := range r.Header {
		fields = append(fields, string(f.Name)+": "+string(f.Value))
	}
	slices.Sort(fields)
	out = append(out, fields...)
	if len(body) > 0 {
		out = append(out, string(body))
	}
	return out
}

func status(code int) string {
	return "= " + string([]byte{byte('0' + code/100), byte('0' + code/10%10), byte('0' + code%10)})
}

func atoi(t *testing.T, text string) int {
	n, ok := decimal([]byte(text))
	if !ok {
		t.Fatalf("%q is no number", text)
	}
	return n
}

// lines is a text of several lines without the tabs of the source.
func lines(text ...string) string { return strings.Join(text, "\n") }
