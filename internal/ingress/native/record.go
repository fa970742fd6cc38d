package native

import (
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

// record is what logs and metrics say of a request.
type record struct {
	start          time.Duration // of Loop.Elapsed
	status         int
	sent, received int64 // bytes of bodies
	broken         bool  // the client has gone
	backend        *route.Backend
	attempts       []attempted
}

// attempted is one try with an endpoint.
type attempted struct {
	endpoint *balance.Endpoint
	status   int
	took     time.Duration
}

func (r *record) add(e *balance.Endpoint, status int, took time.Duration) {
	r.attempts = append(r.attempts, attempted{e, status, took})
}

// finish accounts for the request, which has ended.
func (e *exchange) finish() {
	e.count()
	e.log()
	e.endSpan()
}
