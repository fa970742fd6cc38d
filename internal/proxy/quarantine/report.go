package quarantine

import (
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Reasons of the Events on a Service.
const (
	reasonQuarantined = "EndpointQuarantined"  // takes no new connections from this node
	reasonSilent      = "EndpointNotAnswering" // does not answer, and stays
	reasonReturned    = "EndpointAnswers"      // answers again
)

// fate is what users were told of a silent endpoint of one Service.
type fate uint8

const (
	untold fate = iota
	toldSilent
	toldOut
)

// settle is how long the kernel may take to follow a verdict until an endpoint counts as one that stays.
const settle = 2 * time.Second

// report tells users of silent endpoints, and counts those that are out.
func (w *Watch) report(now time.Time) {
	out := 0
	if w.silents > 0 {
		for _, e := range w.attention {
			if e.silence != nil && w.reportSilent(e, now) {
				out++
			}
		}
	}
	w.metrics.silent.Set(float64(w.silents))
	w.metrics.quarantined.Set(float64(out))
}

// reportSilent tells the Services of an endpoint what has become of it, and reports whether it is out of any pool.
func (w *Watch) reportSilent(e *endpoint, now time.Time) (out bool) {
	for _, ref := range e.services {
		isOut := w.isOut(ref, e)
		if isOut {
			e.silence.wasOut = now
		}
		out = out || isOut
		told := e.silence.reported[ref]
		service, ok := w.state.snapshot.Services.Get(ref)
		switch {
		case !ok:
		case isOut && told != toldOut:
			e.silence.reported[ref] = toldOut
			w.deps.Reporter.ServiceWarning(service, reasonQuarantined, fmt.Sprintf(
				"endpoint %s does not answer (%s) and gets no new connections from this node until it does", e.addr, e.silence.reason.words()))
		case !isOut && told != toldSilent && (w.mode == Observe || now.Sub(e.silence.wasOut) > settle):
			e.silence.reported[ref] = toldSilent
			why := "at most half of the endpoints are taken out"
			if w.mode == Observe {
				why = "quarantine is set to observe"
			}
			w.deps.Reporter.ServiceWarning(service, reasonSilent, fmt.Sprintf(
				"endpoint %s does not answer (%s), but keeps its connections from this node: %s", e.addr, e.silence.reason.words(), why))
		}
	}
	return out
}

// isOut reports whether a pool of the Service is without the endpoint, as it is silent.
func (w *Watch) isOut(ref model.Ref, e *endpoint) bool {
	service, ok := w.plan.Services.Get(ref)
	if !ok {
		return false
	}
	for _, pool := range service.Pools {
		for _, member := range pool.Quarantined {
			if member.Addr == e.addr {
				return true
			}
		}
	}
	return false
}

// reportReturn tells those who were told of an endpoint that it answers.
func (w *Watch) reportReturn(e *endpoint) {
	for _, ref := range slices.Clone(e.services) {
		if service, ok := w.state.snapshot.Services.Get(ref); ok && e.silence.reported[ref] != untold {
			w.deps.Reporter.ServiceNormal(service, reasonReturned, fmt.Sprintf("endpoint %s answers again", e.addr))
		}
	}
}

// words returns the outcome as users may understand it.
func (o Outcome) words() string {
	switch o {
	case Mute:
		return "it accepts connections and says nothing"
	case Refused:
		return "it refuses connections"
	}
	return "it cannot be reached"
}
