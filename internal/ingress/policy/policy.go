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

	// steps are what comes before the backend, in the order of nginx's phases.
	steps []step
	// edits change the request to the backend, response its response.
	edits    []func(*Exchange)
	response []func(*Exchange, *message.Response)
}

// step is one decision: false ends the request with x.Answer.
type step func(*Exchange) bool

func (p *Policy) empty() bool {
	return len(p.steps) == 0 && len(p.edits) == 0 && len(p.response) == 0
}

// Admit runs all that comes before the backend. It returns false if x.Answer is to be sent, which goes through Intercept and
// Response as a backend's answer does. It may wait (authentication).
func (p *Policy) Admit(x *Exchange) bool {
	if p == nil {
		return true
	}
	for _, s := range p.steps {
		if !s(x) {
			return false
		}
	}
	return true
}

// Backend returns where the request goes: the location's backend, or that of its canary; nil: nowhere.
func (p *Policy) Backend(x *Exchange) *route.Backend {
	return x.Location.Backend
}

// Pick returns an endpoint of group, which Balancer.Group has returned for Backend's backend; called again after a failure, another
// one; nil: there is none left.
func (p *Policy) Pick(x *Exchange, group *balance.Group) *balance.Endpoint {
	return group.Pick(&x.own.request, x.Engine.Now())
}

// Request settles what changes in the request to the backend: Method, Target, HostField, Edits.
func (p *Policy) Request(x *Exchange) {
	if p == nil {
		return
	}
	for _, edit := range p.edits {
		edit(x)
	}
}

// Intercept returns where an error page comes from instead of an answer with this status; nil: the answer is sent as it is. own says
// that it is our own answer and not the backend's. The request for the page is the one that Request would send, with x.Method,
// x.Target, x.HostField and x.Edits as Intercept has set them, and without a body. A page that cannot be had, or whose status says
// that all is well where access was denied, does not change the status.
func (p *Policy) Intercept(x *Exchange, status int, own bool) *route.Backend {
	return nil
}

// Response changes the head of a response, of a backend or our own, before it is sent.
func (p *Policy) Response(x *Exchange, r *message.Response) {
	if p == nil {
		return
	}
	for _, edit := range p.response {
		edit(x, r)
	}
}

// End frees what the request has held, such as its place under a limit of connections. The Exchange can be used again.
func (x *Exchange) End() {
	own := &x.own
	own.request.Reset()
	own.arena.reset()
	clear(x.Edits)
	*x = Exchange{Edits: x.Edits[:0], Answer: Answer{Header: x.Answer.Header[:0]}, own: state{arena: own.arena, request: own.request}}
}

// answer ends the request by an answer with the engine's page for status.
func (x *Exchange) answer(status int, reason string) bool {
	x.Answer.Status, x.Answer.Reason = status, reason
	return false
}
