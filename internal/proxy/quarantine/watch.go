package quarantine

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// Watch finds endpoints that do not answer this node. It is a proxy.Quarantine. Use Run once.
type Watch struct {
	mode    Mode
	deps    Deps
	metrics *metrics
	silent  chan plan.Silence
	applied atomic.Pointer[state]
	wake    chan struct{} // applied has changed
	batches chan []conntrack.Connection
	trials  chan trial
	probes  chan probed
	running sync.WaitGroup // of trials and probes

	// The fields below belong to the goroutine of Run.

	state     *state
	plan      *plan.Plan // of state
	endpoints map[netip.AddrPort]*endpoint
	// unknown are addresses to look up in the plan; foreign those that are not in it.
	unknown, foreign map[netip.AddrPort]struct{}
	located          *plan.Plan // in which they were last looked up
	locateAt         time.Time  // not before this again
	samples          samples
	sampling         allowance
	probing          allowance
	// attention are the endpoints that wait for something; others cost nothing while they are not connected to.
	attention map[netip.AddrPort]*endpoint
	silents   int
	changed   bool // the silent endpoints, since they were last sent
}

// state is what the syncer told last.
type state struct {
	plan     *plan.Plan
	snapshot *model.Snapshot
}

// probed is the result of a single probe.
type probed struct {
	endpoint netip.AddrPort
	purpose  purpose
	began    time.Time
	met      Outcome
}

// New returns a Watch that has done nothing yet.
func New(mode Mode, deps Deps) *Watch {
	if deps.Dial == nil {
		deps.Dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	return &Watch{
		mode: mode, deps: deps, metrics: newMetrics(deps.Metrics),
		silent: make(chan plan.Silence), wake: make(chan struct{}, 1),
		batches: make(chan []conntrack.Connection), trials: make(chan trial), probes: make(chan probed),
		endpoints: map[netip.AddrPort]*endpoint{}, attention: map[netip.AddrPort]*endpoint{},
		unknown: map[netip.AddrPort]struct{}{}, foreign: map[netip.AddrPort]struct{}{},
		sampling: allowance{perSecond: samplesPerSecond}, probing: allowance{perSecond: probesPerSecond},
	}
}

// Applied is proxy.Quarantine's.
func (w *Watch) Applied(p *plan.Plan, snapshot *model.Snapshot) {
	w.applied.Store(&state{p, snapshot})
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Silent is proxy.Quarantine's. In mode Observe nothing ever comes.
func (w *Watch) Silent() <-chan plan.Silence { return w.silent }

// tick is how often samples and endpoints that wait for something are gone through.
const tick = 50 * time.Millisecond

// Run watches until ctx is done, and returns nil. If the kernel does not tell of connections any more, those endpoints
// that are silent by then are still put back when they answer.
func (w *Watch) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	reading := make(chan error, 1)
	go func() { reading <- w.read(ctx) }()
	defer w.running.Wait()
	defer cancel()
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for {
		var silent chan plan.Silence
		var next plan.Silence
		if w.changed {
			silent, next = w.silent, w.silence()
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-reading:
			reading = nil
			if ctx.Err() != nil {
				return nil
			}
			w.deps.Log.Error("endpoints that do not answer are no longer noticed", "error", err)
		case batch := <-w.batches:
			w.note(batch, time.Now())
		case <-w.wake:
			w.state = w.applied.Load()
			w.plan = w.state.plan
		case t := <-w.trials:
			w.end(t, time.Now())
		case p := <-w.probes:
			w.learn(p, time.Now())
		case silent <- next:
			w.changed = false
		case <-timer.C:
		}
		if w.plan != nil {
			w.act(ctx, time.Now())
		}
		timer.Reset(w.pause())
	}
}

// pause is how long there is nothing to do unless something happens.
func (w *Watch) pause() time.Duration {
	if w.samples.pending() || len(w.attention) > 0 || len(w.unknown) > 0 || w.located != w.plan {
		return tick
	}
	return time.Minute
}

// read passes on the connections that begin, until there is an error or ctx is done.
func (w *Watch) read(ctx context.Context) error {
	for {
		var batch []conntrack.Connection
		err := w.deps.Events.Read(func(c conntrack.Connection) {
			if c.Translated() && (c.Protocol == model.TCP || c.Protocol == model.UDP) {
				batch = append(batch, c)
			}
		})
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			select {
			case w.batches <- batch:
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-time.After(drain):
		case <-ctx.Done():
			return nil
		}
	}
}

// silence returns all silent endpoints, for the planner.
func (w *Watch) silence() plan.Silence {
	out := plan.Silence{}
	for addr, e := range w.endpoints {
		if e.silence != nil {
			out[addr] = struct{}{}
		}
	}
	return out
}

// act does what is due.
func (w *Watch) act(ctx context.Context, now time.Time) {
	w.samples.judge(now, w.look)
	w.refresh(now)
	for addr, e := range w.attention {
		if !w.attend(ctx, e, now) {
			delete(w.attention, addr)
		}
	}
	w.report(now)
}

// refresh looks up in the plan who unknown endpoints are, and whether the known ones are still there, as often as a
// hundredth of the time allows.
func (w *Watch) refresh(now time.Time) {
	if len(w.unknown) == 0 && w.located == w.plan || now.Before(w.locateAt) {
		return
	}
	maps.DeleteFunc(w.endpoints, func(addr netip.AddrPort, e *endpoint) bool {
		_, waits := w.attention[addr]
		return !waits && now.Sub(e.sampled) > forgetAfter
	})
	if w.located != w.plan {
		clear(w.foreign)
	}
	wanted := w.unknown
	for addr := range w.endpoints {
		wanted[addr] = struct{}{}
	}
	found := locate(w.plan, wanted)
	for addr := range wanted {
		w.place(addr, found[addr])
	}
	clear(w.unknown)
	w.located = w.plan
	w.locateAt = now.Add(max(tick, locateShare*time.Since(now)))
}

// place notes which Services have an endpoint among others.
func (w *Watch) place(addr netip.AddrPort, services []model.Ref) {
	e := w.endpoints[addr]
	switch {
	case len(services) > 0 && e == nil:
		w.endpoints[addr] = &endpoint{addr: addr, services: services, sampled: time.Now()}
	case len(services) > 0:
		e.services = services
	case e != nil:
		if e.silence != nil {
			w.deps.Log.Info("an endpoint that did not answer is no longer one of several", "endpoint", addr)
			w.free(e)
		}
		delete(w.endpoints, addr)
		delete(w.attention, addr)
	case len(w.foreign) < maxUnknown:
		w.foreign[addr] = struct{}{}
	}
}
