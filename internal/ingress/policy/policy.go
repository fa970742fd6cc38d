package policy

import (
	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// Policy is what one location asks for. It is immutable, and used by all event loops.
type Policy struct {
	entry    *Entry
	host     *route.Host
	location *route.Location
	settings *settings.Settings

	// light is true where requests go to https, and responses get HSTS, and nothing else happens: nothing is kept of a request.
	light bool
	// closed is why the location could not be compiled; "": it could.
	closed string
	// steps are what comes before the backend, in the order of nginx's phases.
	steps []step
	// edits change the request to the backend, response its response.
	edits    []func(*Exchange)
	response []func(*Exchange, *message.Response)
	// pages are the statuses that an error page of backend page stands for.
	pages map[int]bool
	page  *route.Backend
	// fallback is where requests go while the backend has no endpoints (default-backend); nil: nowhere.
	fallback *route.Backend

	affinity *affinity // nil: none
	hash     *template // of upstream-hash-by; nil: none
	canary   *canary   // nil: none
}

// step is one decision: false ends the request with x.Answer.
type step func(*Exchange) bool

func (p *Policy) empty() bool {
	return len(p.steps) == 0 && len(p.edits) == 0 && len(p.response) == 0 && p.pages == nil && p.plain()
}

// plain tells whether the location's backend, and any endpoint of it, will do.
func (p *Policy) plain() bool {
	return p.fallback == nil && p.affinity == nil && p.hash == nil && p.canary == nil
}

// Admit runs all that comes before the backend. It returns false if x.Answer is to be sent, which goes through Intercept and
// Response as a backend's answer does. It may wait (authentication).
func (p *Policy) Admit(x *Exchange) bool {
	if p == nil {
		return true
	}
	x.own.touched = !p.light
	for _, s := range p.steps {
		if !s(x) {
			return false
		}
	}
	return true
}

// Backend returns where the request goes: the location's backend, or that of its canary, or, if that has no endpoints, its
// default-backend; nil: nowhere.
func (p *Policy) Backend(x *Exchange) *route.Backend {
	b := p.choose(x)
	if b != nil {
		x.own.request.Upstream = b.Upstream
	}
	return b
}

func (p *Policy) choose(x *Exchange) *route.Backend {
	if p == nil {
		return x.Location.Backend
	}
	b := x.Location.Backend
	if p.canary != nil {
		b = p.canary.choose(x)
	}
	if p.fallback != nil && (b == nil || isEmpty(x.Pools.Pool(b))) {
		x.own.fallen = true
		return p.fallback
	}
	return b
}

func isEmpty(pool *route.Pool) bool { return len(pool.Endpoints) == 0 && pool.Name == "" }

// Pick returns an endpoint of group, which Balancer.Group has returned for Backend's backend; called again after a failure, another
// one; nil: there is none left.
func (p *Policy) Pick(x *Exchange, group *balance.Group) *balance.Endpoint {
	if p == nil || p.plain() {
		return group.Pick(&x.own.request, x.now())
	}
	return p.pick(x, group)
}

// Request settles what changes in the request to the backend: Method, Target, HostField, Edits.
func (p *Policy) Request(x *Exchange) {
	if p == nil {
		return
	}
	for _, edit := range p.edits {
		edit(x)
	}
	if x.own.fallen {
		x.editPage(503)
	}
}

// Response changes the head of a response, of a backend or our own, before it is sent.
func (p *Policy) Response(x *Exchange, r *message.Response) {
	if p == nil {
		return
	}
	x.own.response = r
	for _, edit := range p.response {
		edit(x, r)
	}
}
