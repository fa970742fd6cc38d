package userspace

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// firstProbe is how soon an endpoint that failed is probed; each further probe waits twice as long, up to lastProbe.
	firstProbe = 250 * time.Millisecond
	lastProbe  = 2 * time.Second
	// probeTime bounds a probe. With lastProbe it is less than the 5 s after which an endpoint must be back.
	probeTime = time.Second
	// suspicionRest is how long an endpoint that turned out to answer is not suspected again.
	suspicionRest = 10 * time.Second
	// muteTrial is how long an endpoint that accepts connections and does not answer probes stays out before one
	// client tries it: it may be one that never answers a probe. Each further time is twice as long, up to muteTrialMax.
	muteTrial    = time.Minute
	muteTrialMax = 16 * time.Minute
	// udpRest is how long an endpoint that refused a datagram gets no new flows: it cannot be probed.
	udpRest = 2 * time.Second
	// unasked is after which time an endpoint is forgotten that no client was to be sent to.
	unasked = time.Minute
	// maxAilments bounds what is remembered, maxProbes the probes at one time.
	maxAilments = 4096
	maxProbes   = 32
)

// Answer is what a probe of an endpoint met.
type Answer struct {
	Accepted bool // the connection
	Answered bool // the process behind it gave a sign of life
}

// health remembers the endpoints that do not answer. Most of the time there is none, which costs one atomic load.
type health struct {
	probe func(ctx context.Context, endpoint netip.AddrPort) Answer
	log   *slog.Logger
	known atomic.Int64 // len(ailments)
	slots chan struct{}

	mu       sync.Mutex
	ailments map[subject]*ailment // guarded by mu
	stopped  bool                 // guarded by mu
	probes   sync.WaitGroup
	stop     context.CancelFunc
	ctx      context.Context
}

// subject is an endpoint of TCP or of UDP.
type subject struct {
	endpoint netip.AddrPort
	udp      bool
}

// ailment is what is known of an endpoint that failed, or may have.
type ailment struct {
	out      bool      // gets no new connections
	mute     bool      // accepts connections and does not answer
	restored time.Time // when it turned out to answer; zero: not yet
	heard    bool      // a byte came since it was suspected
	probing  bool      // a probe is due or under way
	wait     time.Duration
	since    time.Time
	trial    time.Duration // of a mute one
	asked    time.Time     // when a client was last to be sent there
}

func newHealth(probe func(context.Context, netip.AddrPort) Answer, log *slog.Logger) *health {
	ctx, stop := context.WithCancel(context.Background())
	return &health{
		probe: probe, log: log, slots: make(chan struct{}, maxProbes), ailments: map[subject]*ailment{}, ctx: ctx, stop: stop,
	}
}

// close ends all probes.
func (h *health) close() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	h.stop()
	h.probes.Wait()
}

// out reports whether an endpoint is to get no new connections.
func (h *health) out(endpoint netip.AddrPort, udp bool) bool {
	if h.known.Load() == 0 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.ailments[subject{endpoint, udp}]
	if a == nil {
		return false
	}
	now := time.Now()
	a.asked = now
	if a.out && a.mute && now.Sub(a.since) > a.trial {
		a.since, a.trial = now, min(2*a.trial, muteTrialMax)
		return false // to this client alone
	}
	if udp && a.out && now.Sub(a.since) > udpRest {
		a.out = false
	}
	return a.out
}

// failed takes out an endpoint that could not be connected to, unless the fault is this host's own.
func (h *health) failed(endpoint netip.AddrPort, udp bool, reason error) {
	switch {
	case errors.Is(reason, syscall.ECONNREFUSED), errors.Is(reason, syscall.ETIMEDOUT), errors.Is(reason, syscall.ECONNRESET),
		errors.Is(reason, syscall.EHOSTUNREACH), errors.Is(reason, syscall.ENETUNREACH), errors.Is(reason, syscall.EHOSTDOWN):
	default:
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.ailment(subject{endpoint, udp})
	if a == nil || a.out && !a.mute {
		return
	}
	h.log.Info("an endpoint does not accept connections; others of its pools get them", "endpoint", endpoint, "udp", udp, "reason", reason)
	a.out, a.mute, a.since, a.wait = true, false, time.Now(), firstProbe
	if !udp {
		h.schedule(endpoint, a, a.wait)
	}
}

// silent suspects an endpoint that accepted a connection and did not answer on it. A probe is to confirm that.
func (h *health) silent(endpoint netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.ailment(subject{endpoint, false})
	if a == nil || a.out || a.probing || time.Since(a.restored) < suspicionRest {
		return
	}
	a.heard, a.wait = false, firstProbe
	h.schedule(endpoint, a, 0)
}

// ailment returns what is known of an endpoint, or makes it, or nil where too much is known already. It is called with
// mu held.
func (h *health) ailment(s subject) *ailment {
	a := h.ailments[s]
	if a == nil && len(h.ailments) < maxAilments {
		a = &ailment{since: time.Now(), asked: time.Now(), trial: muteTrial}
		h.ailments[s] = a
		h.known.Store(int64(len(h.ailments)))
		if s.udp {
			h.forgetLater(s)
		}
	}
	return a
}

// connected and heard are signs of life.
func (h *health) connected(endpoint netip.AddrPort) { h.alive(endpoint, false) }

func (h *health) heard(endpoint netip.AddrPort) { h.alive(endpoint, true) }

func (h *health) alive(endpoint netip.AddrPort, heard bool) {
	if h.known.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.ailments[subject{endpoint, false}]
	if a == nil {
		return
	}
	a.heard = a.heard || heard
	if a.out && (heard || !a.mute) {
		h.restore(endpoint, a)
	}
}

// restore is called with mu held.
func (h *health) restore(endpoint netip.AddrPort, a *ailment) {
	h.log.Info("an endpoint answers again", "endpoint", endpoint, "after", time.Since(a.since).Round(time.Millisecond))
	a.out, a.mute, a.restored, a.trial = false, false, time.Now(), muteTrial
}

// schedule probes an endpoint after a while, and again until it answers. It is called with mu held.
func (h *health) schedule(endpoint netip.AddrPort, a *ailment, after time.Duration) {
	if a.probing || h.stopped {
		return
	}
	a.probing = true
	h.probes.Go(func() { h.attend(endpoint, a, after) })
}

// attend probes an endpoint until it answers or is forgotten.
func (h *health) attend(endpoint netip.AddrPort, a *ailment, wait time.Duration) {
	for h.sleep(wait) {
		select {
		case h.slots <- struct{}{}:
		case <-h.ctx.Done():
			return
		}
		ctx, cancel := context.WithTimeout(h.ctx, probeTime)
		answer := h.probe(ctx, endpoint)
		cancel()
		<-h.slots
		if h.ctx.Err() != nil || !h.judge(endpoint, a, answer) {
			return
		}
		wait = h.nextWait(a)
	}
}

func (h *health) nextWait(a *ailment) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait := a.wait
	a.wait = min(2*a.wait, lastProbe)
	return wait
}

// judge draws the conclusion from a probe, and reports whether to probe again.
func (h *health) judge(endpoint netip.AddrPort, a *ailment, answer Answer) (again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	fine := answer.Answered || answer.Accepted && a.out && !a.mute || a.heard && !a.out
	switch {
	case fine && a.out:
		h.restore(endpoint, a)
	case fine:
		a.restored = now
	case !a.out:
		h.log.Info("an endpoint does not answer; others of its pools get its connections", "endpoint", endpoint, "accepts", answer.Accepted)
		a.out, a.mute, a.since = true, answer.Accepted, now
	}
	if a.out && now.Sub(a.asked) < unasked {
		return true
	}
	a.probing = false
	s := subject{endpoint, false}
	if a.out {
		// No client is sent there any more: it has left its pools.
		delete(h.ailments, s)
		h.known.Store(int64(len(h.ailments)))
	} else {
		h.forgetLater(s)
	}
	return false
}

// forgetLater forgets an endpoint that is well when it may be suspected again. It is called with mu held.
func (h *health) forgetLater(s subject) {
	if h.stopped {
		return
	}
	h.probes.Go(func() {
		if !h.sleep(suspicionRest) {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if a := h.ailments[s]; a != nil && !a.probing {
			delete(h.ailments, s)
			h.known.Store(int64(len(h.ailments)))
		}
	})
}

// sleep waits, and reports false if the health is closed meanwhile.
func (h *health) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-h.ctx.Done():
		return false
	}
}
