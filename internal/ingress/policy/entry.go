package policy

import (
	"net/http"
	"sync/atomic"

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

	block     []step
	addFields []edit   // of every response
	setFields []edit   // of every request to a backend
	hidden    [][]byte // fields of backends' responses
	hsts      []byte   // empty: not sent
}

// Ports are the listening ports that clients know as 80 and 443: redirects do not name them.
type Ports struct{ HTTP, HTTPS uint16 }

// State is what outlives tables and changes of the ConfigMap: buckets of limits, counts of connections, answers of authentication.
// All of it is bounded.
type State struct {
	zones     *zones
	passwords *verdicts
	answers   *answers
	nonces    *nonces
	certs     *certificates
	mirrors   atomic.Int64 // copies under way
	transport http.RoundTripper
}

// NewState returns an empty State. Requests to authentication servers and mirrors go by transport; nil: one of its own.
func NewState(transport http.RoundTripper) *State {
	if transport == nil {
		transport = newTransport()
	}
	return &State{
		zones: newZones(), passwords: newVerdicts(), answers: newAnswers(), nonces: newNonces(), certs: newCertificates(),
		transport: transport,
	}
}

// NewEntry prepares the settings of the entry as a whole.
func NewEntry(global *settings.Global, state *State, ports Ports) *Entry {
	e := &Entry{global: global, state: state, ports: ports, believe: newBelieve(&global.RealIP), hsts: []byte(global.HSTS.Value())}
	e.block = e.blocks()
	e.addFields = compilable(global.AddHeaders)
	e.setFields = compilable(global.SetHeaders)
	for _, name := range global.HideHeaders {
		if !isEngines(name) {
			e.hidden = append(e.hidden, fixedValue(name))
		}
	}
	return e
}

// compilable compiles header fields of the entry. One with a variable that is not known, which settings refuses, is left out: it must
// not touch all locations.
func compilable(list []settings.HeaderEdit) []edit {
	var out []edit
	for i := range list {
		var c compiler
		if edits := c.headerEdits("", list[i:i+1]); c.err == nil {
			out = append(out, edits...)
		}
	}
	return out
}

// Compile returns the policy of a location, nil if nothing is asked for. A text of the Ingress that cannot be compiled, which
// settings should have refused, closes the location: what it was to protect stays protected.
func (e *Entry) Compile(h *route.Host, l *route.Location) *Policy {
	c := compiler{Policy: &Policy{entry: e, host: h, location: l, settings: l.Settings}}
	c.rewritePhase()
	c.preaccessPhase()
	c.accessPhase()
	c.mirror()
	c.requestEdits()
	c.responseEdits()
	c.errorPages()
	c.balancing()
	if c.affinity != nil || c.canary != nil {
		c.response = append(c.response, setSession)
	}
	if c.err != nil {
		why := c.err.Error()
		return &Policy{entry: e, host: h, location: l, settings: l.Settings, closed: why, steps: []step{closed(why)}}
	}
	if c.empty() {
		return nil
	}
	c.light = len(c.steps) == c.lightSteps && len(c.response) == c.lightResponses && len(c.edits) == 0 && c.plain() && c.pages == nil
	return c.Policy
}

// closed answers 503 to every request: why is in the reason's detail, for logs.
func closed(why string) step {
	return func(x *Exchange) bool {
		x.Answer.Detail = why
		return x.answer(503, ReasonDenied)
	}
}
