package native

import (
	"net/http"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/http1"
	"github.com/switchyard-net/switchyard/internal/ingress/http2"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/policy"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/stream"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

const (
	// housekeeping is how often a loop looks for what is of no use any more.
	housekeeping = time.Second
	// placeLife is how long what was compiled for a location is kept without a request.
	placeLife = 10 * time.Minute
	// freeExchanges bounds those that are kept for the next request.
	freeExchanges = 1024
)

// drainer is a connection that can be ended in order.
type drainer interface{ Drain() }

// worker is an event loop and what only its tasks use.
type worker struct {
	engine    *Engine
	loop      *loop.Loop
	listeners []*loop.Listener
	conns     map[drainer]struct{}
	carrier   stream.Carrier
	carried   int // TLS connections that are passed through
	draining  bool

	buffers http1.Buffers
	idle    idle
	calls   http2.Pool // connections to endpoints that speak HTTP/2
	places  map[*route.Location]*place
	free    []*exchange

	counters map[labels]*counters
	totals   totals
	lines    logLines

	date   []byte // for Date, of this second
	dateAt time.Duration
}

// place is what a loop knows of a location.
type place struct {
	policy   *policy.Policy // nil: nothing is asked for
	entry    *policy.Entry  // that it was compiled by
	host     *route.Host    // that it was compiled for
	tls      map[route.Key]*backendTLS
	counters *counters
	used     time.Duration // of Loop.Elapsed
}

func newWorker(e *Engine) (*worker, error) {
	w := &worker{
		engine: e, carrier: stream.Carrier{Balancer: e.balancer}, conns: map[drainer]struct{}{}, places: map[*route.Location]*place{},
		idle: newIdle(), counters: map[labels]*counters{}, totals: newTotals(),
	}
	l, err := loop.New(loop.Config{Log: e.deps.Log, Panic: func() { w.totals.panics++ }})
	if err != nil {
		return nil, err
	}
	w.loop = l
	l.Post(func() { l.Go(w.keepHouse) })
	return w, nil
}

// keepHouse closes connections that have waited for too long, and forgets locations that nobody asks for.
func (w *worker) keepHouse(t *loop.Task) {
	for swept := w.loop.Elapsed(); ; {
		t.Sleep(housekeeping)
		w.lines.flush(w.engine.access)
		if g := w.engine.current.Load(); g != nil {
			w.idle.expire(w.loop.Elapsed(), &g.table.Global.Upstream)
		}
		if now := w.loop.Elapsed(); now-swept > placeLife {
			swept = now
			w.forget(now)
		}
	}
}

// forget drops what has been of no use for long.
func (w *worker) forget(now time.Duration) {
	for l, p := range w.places {
		if now-p.used > placeLife {
			delete(w.places, l)
		}
	}
	for key, c := range w.counters {
		if now-c.used > counterLife {
			delete(w.counters, key)
		}
	}
}

// place returns what the loop knows of a location.
func (w *worker) place(g *generation, h *route.Host, l *route.Location) *place {
	p := w.places[l]
	if p == nil || p.entry != g.entry || p.host != h {
		p = &place{policy: g.entry.Compile(h, l), entry: g.entry, host: h, counters: w.countersOf(l)}
		w.places[l] = p
	}
	p.used = w.loop.Elapsed()
	return p
}

// serve serves one request.
func (w *worker) serve(t *loop.Task, s message.Stream) {
	x, whole := w.exchange(), false
	defer func() {
		if !whole { // a panic
			x.abandon()
		}
	}()
	x.task, x.stream, x.request = t, s, s.Request()
	x.serve()
	whole = true
	x.release()
}

func (w *worker) exchange() *exchange {
	if n := len(w.free); n > 0 {
		x := w.free[n-1]
		w.free = w.free[:n-1]
		return x
	}
	x := &exchange{w: w}
	x.watch = x.left
	return x
}

// drain ends accepting, and connections once they have no request.
func (w *worker) drain() {
	w.draining = true
	for _, l := range w.listeners {
		_ = l.Close()
	}
	for c := range w.conns {
		c.Drain()
	}
}

// now returns the value of Date (RFC 9110 6.6.1).
func (w *worker) dateNow() []byte {
	if at := w.loop.Elapsed() / time.Second; w.date == nil || at != w.dateAt {
		w.dateAt = at
		w.date = w.loop.Now().UTC().AppendFormat(nil, http.TimeFormat)
	}
	return w.date
}
