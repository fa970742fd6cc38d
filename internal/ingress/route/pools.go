package route

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// backendSet gives numbers to backends and remembers who uses them.
type backendSet struct {
	all       map[backendKey]*backendState
	byService map[model.Ref][]*backendState
	next      uint32
}

func newBackendSet() backendSet {
	return backendSet{all: map[backendKey]*backendState{}, byService: map[model.Ref][]*backendState{}}
}

// backendKey is what Backends with the same pool have in common.
type backendKey struct {
	key       Key
	service   bool // by the cluster IP
	transport model.Protocol
}

type backendState struct {
	backendKey
	id    uint32
	users map[*state]struct{}
}

// take returns a Backend for an Ingress, which is released with it.
func (b *Builder) take(s *state, key Key, upstream *settings.Upstream, d *dirty) *Backend {
	return b.takeFor(s, backendKey{key, upstream.Service, model.TCP}, upstream, d)
}

func (b *Builder) takeFor(s *state, k backendKey, upstream *settings.Upstream, d *dirty) *Backend {
	set := &b.backends
	of := set.all[k]
	if of == nil {
		of = &backendState{backendKey: k, id: set.next, users: map[*state]struct{}{}}
		set.next++
		set.all[k] = of
		set.byService[k.key.Service] = append(set.byService[k.key.Service], of)
	}
	d.pools[of] = struct{}{}
	of.users[s] = struct{}{}
	s.taken = append(s.taken, of)
	return &Backend{Key: k.key, ID: of.id, Upstream: upstream}
}

// release gives back the backends of an Ingress that is gone or was made anew.
func (b *Builder) release(s *state, d *dirty) {
	if s == nil {
		return
	}
	for _, state := range s.taken {
		d.pools[state] = struct{}{} // its problems are told of its users
		delete(state.users, s)
		if len(state.users) > 0 {
			continue
		}
		delete(b.backends.all, state.backendKey)
		ref := state.key.Service
		b.backends.byService[ref] = slices.DeleteFunc(b.backends.byService[ref], func(x *backendState) bool { return x == state })
		if len(b.backends.byService[ref]) == 0 {
			delete(b.backends.byService, ref)
		}
	}
}

// fill brings the table's pools up to date.
func (b *Builder) fill(t *Table, d *dirty) {
	if len(d.pools) == 0 {
		return
	}
	edit := t.pools.edit()
	for state := range d.pools {
		delete(b.problems, state)
		if len(state.users) == 0 {
			edit.set(state.id, nil)
			continue
		}
		pool, wrong := b.pool(state.backendKey)
		if old := edit.get(state.id); old == nil || !old.equal(pool) {
			edit.set(state.id, pool)
		}
		if wrong != "" {
			b.tellUsers(state, wrong)
		}
	}
	t.pools = edit.vector
}

// tellUsers makes what is wrong with a Service a problem of each Ingress that names it.
func (b *Builder) tellUsers(state *backendState, wrong string) {
	for s := range state.users {
		p := Problem{Kind: "Ingress", Reason: ReasonBackend, Message: wrong}
		if s.ing != nil {
			p.Ref = s.ing.Ref
		} else {
			p.Kind, p.Ref = "ConfigMap", b.config.ConfigMap
		}
		b.problems[state] = append(b.problems[state], p)
	}
}

func (p *Pool) equal(q *Pool) bool {
	return p.Name == q.Name && p.Port == q.Port && p.Problem == q.Problem && slices.Equal(p.Endpoints, q.Endpoints)
}

// pool returns the endpoints of a Service's port, and what is wrong with the Service itself; "": nothing.
func (b *Builder) pool(k backendKey) (pool *Pool, wrong string) {
	view := b.snap.View(k.key.Service)
	svc := view.Service
	bad := func(format string, args ...any) (*Pool, string) {
		message := fmt.Sprintf("Service "+k.key.Service.String()+" "+format, args...)
		return &Pool{Problem: message}, message
	}
	if svc == nil {
		return bad("does not exist; requests are answered 503")
	}
	port, ok := findPort(svc, k.key, k.transport)
	if svc.Type == model.ExternalName {
		return externalPool(svc, k.key, port, ok, bad)
	}
	if !ok {
		return bad("has no port %s of protocol %s; its ports are %s; requests are answered 503", k.key.port(), k.transport, portNames(svc))
	}
	if k.service {
		if len(svc.ClusterIPs) > 0 {
			return &Pool{Endpoints: []Endpoint{{Addr: netip.AddrPortFrom(svc.ClusterIPs[0].Unmap(), port.Port)}}}, ""
		}
		wrong = fmt.Sprintf("Service %s has no cluster IP for service-upstream; its endpoints are used", k.key.Service)
	}
	pool = &Pool{}
	for _, e := range plan.Direct(view, port, b.config.Node, b.zone) {
		pool.Endpoints = append(pool.Endpoints, Endpoint(e))
	}
	if len(pool.Endpoints) == 0 {
		pool.Problem = fmt.Sprintf("Service %s, port %s: no endpoint is ready", k.key.Service, k.key.port())
	}
	return pool, wrong
}

// port returns the port as it was written.
func (k Key) port() string {
	if k.Name != "" {
		return k.Name
	}
	if k.Number == 0 {
		return "(the first)"
	}
	return strconv.Itoa(int(k.Number))
}

// findPort returns the Service's port that an Ingress names: by its number or name, else, as in ingress-nginx, by its targetPort.
func findPort(svc *model.Service, k Key, transport model.Protocol) (model.ServicePort, bool) {
	for _, same := range []func(model.ServicePort) bool{
		func(p model.ServicePort) bool {
			return k.Name != "" && p.Name == k.Name || k.Number != 0 && p.Port == k.Number || k.Name == "" && k.Number == 0
		},
		func(p model.ServicePort) bool {
			return p.TargetPort != "" && (p.TargetPort == k.Name || p.TargetPort == strconv.Itoa(int(k.Number)))
		},
	} {
		for _, p := range svc.Ports {
			if p.Protocol == transport && same(p) {
				return p, true
			}
		}
	}
	return model.ServicePort{}, false
}

func portNames(svc *model.Service) string {
	out := ""
	for i, p := range svc.Ports {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if p.Name != "" {
			out += " (" + p.Name + ")"
		}
	}
	if out == "" {
		return "none"
	}
	return out
}

// externalPool returns where an ExternalName Service is: its targetPort, or the Ingress's number where the Service has no such port.
func externalPool(svc *model.Service, k Key, port model.ServicePort, found bool, bad func(string, ...any) (*Pool, string)) (*Pool, string) {
	number := k.Number
	if found {
		number = port.Port
		if n, err := strconv.ParseUint(port.TargetPort, 10, 16); err == nil && n > 0 {
			number = uint16(n)
		}
	}
	if number == 0 {
		return bad("is an ExternalName and has no port %s; name the port's number", k.port())
	}
	addr, err := netip.ParseAddr(svc.ExternalName)
	switch {
	case svc.ExternalName == "localhost" || err == nil && (addr.IsLoopback() || addr.IsUnspecified()):
		return bad("leads to this machine itself (externalName %s), which is refused", svc.ExternalName)
	case err == nil:
		return &Pool{Endpoints: []Endpoint{{Addr: netip.AddrPortFrom(addr.Unmap(), number)}}}, ""
	}
	return &Pool{Name: svc.ExternalName, Port: number}, ""
}
