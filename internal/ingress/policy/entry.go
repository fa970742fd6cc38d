package policy

import (
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// Entry is what the policies of all locations share. There is one for each version of the ConfigMap; what has to outlive it is in
// its State.
type Entry struct {
	global  *settings.Global
	state   *State
	ports   Ports
	believe believe
}

// Ports are the listening ports that clients know as 80 and 443: redirects do not name them.
type Ports struct{ HTTP, HTTPS uint16 }

// State is what outlives tables and changes of the ConfigMap: buckets of limits, counts of connections, answers of authentication.
// All of it is bounded.
type State struct{}

// NewState returns an empty State.
func NewState() *State { return &State{} }

// NewEntry prepares the settings of the entry as a whole.
func NewEntry(global *settings.Global, state *State, ports Ports) *Entry {
	return &Entry{global: global, state: state, ports: ports, believe: newBelieve(&global.RealIP)}
}

// Compile returns the policy of a location, nil if nothing is asked for.
func (e *Entry) Compile(h *route.Host, l *route.Location) *Policy {
	p := &Policy{entry: e, host: h, location: l, settings: l.Settings}
	if l.Denied != "" {
		p.steps = append(p.steps, func(x *Exchange) bool { return x.answer(503, ReasonDenied) })
	}
	if p.empty() {
		return nil
	}
	return p
}
