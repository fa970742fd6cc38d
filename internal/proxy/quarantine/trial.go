package quarantine

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// maxWitnesses is how many other endpoints are probed in a trial.
const maxWitnesses = 3

// Verdict is how a trial ends.
type Verdict string

// The verdicts.
const (
	Silent      Verdict = "silent"
	FalseAlarm  Verdict = "false_alarm" // it answers
	NoWitness   Verdict = "no_witness"  // no other endpoint answers either: the fault may be this node's, or the probe's
	Meaningless Verdict = "meaningless" // it fails probes in this way also while it answers clients
	Undecided   Verdict = "undecided"   // a probe failed by itself
)

// trial is what a suspicion leads to.
type trial struct {
	endpoint  netip.AddrPort
	began     time.Time
	own       [2]Outcome
	witnesses []witness
	reserved  int // probes
}

// witness is another endpoint of the same pool.
type witness struct {
	endpoint netip.AddrPort
	// met is what its probe met, or would meet as far as known; empty: not known.
	met Outcome
	// serves is true where clients' connections were answered since the suspicion.
	serves bool
}

// alive reports whether the witness answers, in the way that the accused does not.
func (w witness) alive(reason Outcome) bool {
	return w.serves || w.met == Answered || w.met == Mute && reason != Mute
}

// verdict decides a trial, given what was learned of the endpoint before. It is silent only if another endpoint is not,
// and if the probe is known to mean something here: by what was learned, or by the witness.
func (t trial) verdict(learned Outcome) (v Verdict, reason Outcome) {
	first, second := t.own[0], t.own[1]
	switch {
	case first == Answered || second == Answered:
		return FalseAlarm, ""
	case first == Unknown || second == Unknown || second == "":
		return Undecided, ""
	}
	reason = second
	if first == Mute {
		reason = Mute
	}
	if learned != "" && learned != Answered && (reason == Mute || learned != Mute) {
		return Meaningless, reason
	}
	if !slices.ContainsFunc(t.witnesses, func(w witness) bool { return w.alive(reason) }) {
		return NoWitness, reason
	}
	hangsUp := func(w witness) bool { return w.met == Answered }
	if reason == Mute && learned != Answered && !slices.ContainsFunc(t.witnesses, hangsUp) {
		return NoWitness, reason
	}
	return Silent, reason
}

// hold probes the endpoint and, unless it answers at once, a second time, together with those witnesses of which nothing
// is known.
func (w *Watch) hold(ctx context.Context, t trial) trial {
	var running sync.WaitGroup
	first := make(chan Outcome, 1)
	running.Go(func() { first <- w.probeFor(ctx, forTrial, t.endpoint, probePatience) })
	again := time.After(retrial)
	select {
	case t.own[0] = <-first:
		if t.own[0] == Answered || !wait(ctx, again) {
			return t
		}
	case <-again:
	}
	running.Go(func() { t.own[1] = w.probeFor(ctx, forTrial, t.endpoint, probePatience) })
	for i := range t.witnesses {
		if t.witnesses[i].unknown() {
			running.Go(func() { t.witnesses[i].met = w.probeFor(ctx, forWitness, t.witnesses[i].endpoint, probePatience) })
		}
	}
	if t.own[0] == "" {
		t.own[0] = <-first
	}
	running.Wait()
	return t
}

// wait waits for a time, and reports whether it came before the end of ctx.
func wait(ctx context.Context, until <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-until:
		return true
	}
}

// unknown reports whether a witness has to be probed.
func (w witness) unknown() bool { return w.met == "" && !w.serves }

// cost is how many probes a trial may make.
func (t trial) cost() int {
	n := len(t.own)
	for _, other := range t.witnesses {
		if other.unknown() {
			n++
		}
	}
	return n
}

// witnesses returns other endpoints of the Services of e: one that is known to answer since the suspicion, which needs no
// probe; else some to be probed, those first that are not suspected themselves and answered last.
func (w *Watch) witnesses(e *endpoint) []witness {
	var known, others []witness
	for _, addr := range w.siblings(e) {
		other := w.endpoints[addr]
		switch {
		case other == nil:
			others = append(others, witness{endpoint: addr})
		case other.silence != nil:
		case other.answered.After(e.doubted):
			known = append(known, witness{addr, other.lesson.met, true})
		case other.vouched.After(e.doubted):
			known = append(known, witness{addr, Answered, false})
		default:
			others = append(others, witness{endpoint: addr})
		}
	}
	conclusive := func(k witness) bool { return k.met == Answered || k.serves && e.lesson.met == Answered }
	if i := slices.IndexFunc(known, conclusive); i >= 0 {
		return known[i : i+1]
	}
	slices.SortStableFunc(others, func(a, b witness) int { return cmp.Compare(w.trust(b.endpoint), w.trust(a.endpoint)) })
	for i := range known {
		known[i].met, known[i].serves = "", false
	}
	others = append(known, others...)
	return others[:min(len(others), maxWitnesses)]
}

// trust orders witnesses, higher is better: by when the endpoint last answered a client, in nanoseconds of Unix time; one
// of which nothing is known comes before one that is suspected.
func (w *Watch) trust(addr netip.AddrPort) int64 {
	switch e := w.endpoints[addr]; {
	case e == nil || e.doubted.IsZero() && e.answered.IsZero():
		return 0
	case !e.doubted.IsZero():
		return -1
	default:
		return e.answered.UnixNano()
	}
}

// siblings returns the other endpoints of all pools that have e, each once.
func (w *Watch) siblings(e *endpoint) []netip.AddrPort {
	seen := map[netip.AddrPort]bool{e.addr: true}
	var out []netip.AddrPort
	for _, ref := range e.services {
		service, ok := w.plan.Services.Get(ref)
		if !ok {
			continue
		}
		for _, pool := range service.Pools {
			if pool.Protocol != model.TCP || !has(pool, e.addr) {
				continue
			}
			for member := range members(pool) {
				if !seen[member] {
					seen[member] = true
					out = append(out, member)
				}
			}
		}
	}
	return out
}
