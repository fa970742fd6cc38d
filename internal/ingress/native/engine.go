package native

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/policy"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/selfsigned"
	"github.com/switchyard-net/switchyard/internal/ingress/stream"
)

// drainPoll is how often the end of the last request is looked for.
const drainPoll = 50 * time.Millisecond

// Engine serves an entry. It is an ingress.Engine.
type Engine struct {
	config   Config
	deps     Deps
	state    *policy.State
	balancer *balance.Balancer
	current  atomic.Pointer[generation]
	workers  []*worker
	streams  *stream.Services
	http3    *http3Server  // nil: there is none
	ended    chan struct{} // closed when the loops have ended
	fallback certificate
	access   *accessLog // nil: there is none

	mu          sync.Mutex
	http, https []netip.AddrPort // guarded by mu: where it listens
	ready       atomic.Bool
}

// New returns an engine that serves nothing yet.
func New(config Config, deps Deps) (*Engine, error) {
	e := &Engine{
		config: config.withDefaults(), deps: deps,
		state: policy.NewState(nil), balancer: balance.New(balance.Config{}), ended: make(chan struct{}),
	}
	var err error
	if e.fallback, err = selfsigned.New(); err != nil {
		return nil, fmt.Errorf("make the certificate for hosts that have none: %w", err)
	}
	for range e.config.Loops {
		w, err := newWorker(e)
		if err != nil {
			return nil, fmt.Errorf("make an event loop: %w", err)
		}
		e.workers = append(e.workers, w)
	}
	e.streams = e.newStreams()
	e.access = newAccessLog(deps.Access)
	if deps.Metrics != nil {
		if err := deps.Metrics.Register(&collector{newDescriptions(), e}); err != nil {
			return nil, fmt.Errorf("register the engine's metrics: %w", err)
		}
	}
	return e, nil
}

// newStreams returns the TCP and UDP services, which are at the addresses of HTTP and HTTPS.
func (e *Engine) newStreams() *stream.Services {
	c := stream.Config{Balancer: e.balancer}
	for _, a := range slices.Concat(e.config.HTTP, e.config.HTTPS) {
		if !slices.Contains(c.Addresses, a.Addr()) {
			c.Addresses = append(c.Addresses, a.Addr())
		}
	}
	for _, w := range e.workers {
		c.Loops = append(c.Loops, w.loop)
	}
	return stream.New(c)
}

// Apply puts a table in force: requests that begin after it has returned are served by it. It never fails; the problems are ports of
// TCP and UDP services that cannot be opened.
func (e *Engine) Apply(_ context.Context, t *route.Table) ([]route.Problem, error) {
	e.current.Store(e.next(e.current.Load(), t))
	e.balancer.Sweep(t.Has)
	return e.streams.Apply(t), nil
}

// Ready returns nil while new connections are accepted and a table is in force.
func (e *Engine) Ready() error {
	switch {
	case e.current.Load() == nil:
		return errors.New("no table is in force yet")
	case !e.ready.Load():
		return errors.New("no connections are accepted")
	}
	return nil
}

// Addresses returns where the engine listens for connections without and with TLS, once it is ready.
func (e *Engine) Addresses() (http, https []netip.AddrPort) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.http, e.https
}

// Run serves until ctx is done. Then no connection is accepted any more, those without a request are closed, and requests that are
// under way may end, for as long as Config.Drain.
func (e *Engine) Run(ctx context.Context) error {
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := e.listen(); err != nil {
		return err
	}
	if err := e.listen3(); err != nil {
		return err
	}
	e.access.start()
	var running sync.WaitGroup
	for _, w := range e.workers {
		running.Go(func() {
			if err := w.loop.Run(loops); err != nil {
				e.deps.Log.Error("an event loop has failed", "error", err)
			}
		})
	}
	for _, p := range e.streams.Start() {
		e.deps.Log.Warn(p.Message, "service", p.Ref.String())
	}
	e.ready.Store(true)
	<-ctx.Done()
	e.ready.Store(false)
	e.drain()
	stop()
	running.Wait()
	for _, w := range e.workers {
		w.lines.flush(e.access)
	}
	e.access.close()
	close(e.ended)
	e.http3.close()
	e.current.Load().closeTracer()
	return nil
}

// listen opens the addresses on each loop, before these run.
func (e *Engine) listen() error {
	each := max(1, e.config.Connections/len(e.workers))
	open := func(addrs []netip.AddrPort, secure bool) ([]netip.AddrPort, error) {
		bound := make([]netip.AddrPort, len(addrs))
		copy(bound, addrs)
		for _, w := range e.workers {
			for i := range bound {
				at, err := w.listen(bound[i], secure, each)
				if err != nil {
					return nil, err
				}
				bound[i] = at
			}
		}
		return bound, nil
	}
	http, err := open(e.config.HTTP, false)
	if err != nil {
		return err
	}
	https, err := open(e.config.HTTPS, true)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.http, e.https = http, https
	return nil
}

// drain ends accepting, and waits for the connections that are left.
func (e *Engine) drain() {
	if err := e.streams.Stop(); err != nil {
		e.deps.Log.Error("the UDP services have not ended in order", "error", err)
	}
	for _, w := range e.workers {
		w.loop.Post(w.drain)
	}
	limit := e.config.Drain
	if g := e.current.Load(); g != nil && g.table.Global.Drain > 0 {
		limit = g.table.Global.Drain
	}
	end := time.Now().Add(limit)
	requests := e.http3.shutdown(end)
	for time.Now().Before(end) && !e.idle() {
		time.Sleep(drainPoll)
	}
	<-requests
}

// idle says whether no connection of a client is left.
func (e *Engine) idle() bool {
	open := make(chan int, len(e.workers))
	for _, w := range e.workers {
		w.loop.Post(func() { open <- len(w.conns) + w.carried })
	}
	left := 0
	for range e.workers {
		left += <-open
	}
	return left == 0 && e.streams.Open() == 0
}
