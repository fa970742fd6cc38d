package enginetest

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/manifest"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Engine is an engine under test.
type Engine interface {
	Apply(context.Context, *route.Table) ([]route.Problem, error)
	Run(context.Context) error
	Ready() error
}

// Started is an engine that is made, and where it will listen once it is ready.
type Started struct {
	Engine Engine
	// Addresses returns "host:port" without and with TLS.
	Addresses func() (http, https string)
}

// Start is how an engine is started.
type Start struct {
	New func(t testing.TB) Started
	// Differs has the names of cases, or of their steps as "case/step", that the engine does not pass, and why.
	Differs map[string]string
}

// Case is a table and what is asked of it.
type Case struct {
	Name string
	// Manifest has Ingresses, Secrets and ConfigMaps. That of the entry is "ingress/controller".
	Manifest string
	// Backends are the names of servers, as often as each is to have endpoints. "web" is there without being named.
	Backends []string
	// Servers are further backends by name, which the test has started itself.
	Servers map[string]netip.AddrPort
	Steps   []Step
}

// skip ends a test that the engine does not pass on purpose. It is known by its name below the outermost one.
func (s Start) skip(t *testing.T) {
	t.Helper()
	_, name, _ := strings.Cut(t.Name(), "/")
	if why := s.Differs[name]; why != "" {
		t.Skip("differs on purpose: " + why)
	}
}

// Run runs cases against an engine, each with an engine of its own.
func Run(t *testing.T, start Start, cases []Case) {
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if why := start.Differs[c.Name]; why != "" {
				t.Skip("differs on purpose: " + why)
			}
			e := Serve(t, start, c)
			for _, s := range c.Steps {
				t.Run(s.Name, func(t *testing.T) {
					if why := start.Differs[c.Name+"/"+s.Name]; why != "" {
						t.Skip("differs on purpose: " + why)
					}
					e.step(t, s)
				})
			}
		})
	}
}

// Entry is an engine that serves a case.
type Entry struct {
	HTTP, HTTPS string // host:port
	started     Started
	builder     *route.Builder
	backends    map[string][]*backend
	manifest    string // without those of backends
}

// Serve starts the backends and the engine of a case; both end with the test.
func Serve(t testing.TB, start Start, c Case) *Entry {
	t.Helper()
	e := &Entry{backends: map[string][]*backend{}, manifest: c.Manifest}
	names := c.Backends
	if !slices.Contains(names, "web") {
		names = append([]string{"web"}, names...)
	}
	for _, name := range names {
		e.backends[name] = append(e.backends[name], startBackend(t, name))
	}
	for name, addr := range c.Servers {
		e.backends[name] = append(e.backends[name], &backend{name: name, addr: addr})
	}
	ref := func(name string) model.Ref { return model.Ref{Namespace: "ingress", Name: name} }
	e.builder = route.New(route.Config{ConfigMap: ref("controller"), TCP: ref("tcp-services"), UDP: ref("udp-services")})
	e.started = start.New(t)
	e.Apply(t, c.Manifest)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.started.Engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the engine does not end")
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		err := e.started.Engine.Ready()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	e.HTTP, e.HTTPS = e.started.Addresses()
	return e
}

// Apply puts another manifest in force.
func (e *Entry) Apply(t testing.TB, text string) {
	t.Helper()
	e.manifest = text
	for _, name := range slices.Sorted(maps.Keys(e.backends)) {
		text += objects(name, e.backends[name])
	}
	file := filepath.Join(t.TempDir(), "case.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := manifest.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range o.Errors {
		t.Fatal(err)
	}
	table, problems := e.builder.Update(&o.Snapshot, model.Changes{All: true})
	for _, p := range problems {
		t.Logf("%s %s: %s: %s", p.Kind, p.Ref, p.Reason, p.Message)
	}
	if _, err := e.started.Engine.Apply(t.Context(), table); err != nil {
		t.Fatal(err)
	}
}

// Seen returns what backends of that name were asked since the last call.
func (e *Entry) Seen(name string) []Seen {
	var all []Seen
	for _, b := range e.backends[name] {
		all = append(all, b.requests()...)
	}
	return all
}
