package quarantine

import (
	"context"
	"net/netip"
	"time"
)

// attend does what is due for an endpoint, and reports whether there is more to come.
func (w *Watch) attend(ctx context.Context, e *endpoint, now time.Time) (more bool) {
	switch {
	case e.busy || now.Before(e.rest):
		return true
	case e.silence != nil:
		e.busy = true
		w.start(ctx, e, forReturn, now)
		return true
	case !e.doubted.IsZero():
		w.try(ctx, e, now)
		return true
	case e.lesson.due(now):
		if !e.learning && w.probing.take(now, 1, probesPerSecond/2) { // trials come first
			e.learning = true
			w.start(ctx, e, forLesson, now)
		}
		return true
	}
	return false
}

// try begins a trial.
func (w *Watch) try(ctx context.Context, e *endpoint, now time.Time) {
	t := trial{endpoint: e.addr, began: now, witnesses: w.witnesses(e)}
	t.reserved = t.cost()
	if !w.probing.take(now, t.reserved, 0) {
		return
	}
	e.busy = true
	w.running.Go(func() {
		t := w.hold(ctx, t)
		select {
		case w.trials <- t:
		case <-ctx.Done():
		}
	})
}

// start begins a single probe.
func (w *Watch) start(ctx context.Context, e *endpoint, why purpose, now time.Time) {
	wait := probePatience
	if why == forReturn && e.silence.reason == Mute {
		wait = returnPatience
	}
	p := probed{endpoint: e.addr, purpose: why, began: now}
	w.running.Go(func() {
		p.met = w.probeFor(ctx, why, p.endpoint, wait)
		select {
		case w.probes <- p:
		case <-ctx.Done():
		}
	})
}

// probeFor is probe, counted.
func (w *Watch) probeFor(ctx context.Context, why purpose, endpoint netip.AddrPort, wait time.Duration) Outcome {
	met := w.probe(ctx, endpoint, wait)
	w.metrics.probes.WithLabelValues(string(why), string(met)).Inc()
	return met
}

// end draws the consequences of a trial.
func (w *Watch) end(t trial, now time.Time) {
	for _, other := range t.witnesses {
		if e := w.endpoints[other.endpoint]; e != nil && other.met == Answered && !other.serves {
			e.vouched = t.began
		}
	}
	e := w.endpoints[t.endpoint]
	if e == nil {
		return
	}
	e.busy, e.rest = false, now.Add(retryPeriod)
	verdict, reason := t.verdict(e.lesson.met)
	if verdict != FalseAlarm && e.answered.After(t.began) {
		verdict = FalseAlarm // a client was answered meanwhile
	}
	if verdict == Silent && w.silents >= maxSilent {
		verdict = Undecided
		w.deps.Log.Warn("too many endpoints do not answer; one more is left where it is", "endpoint", e.addr, "silent", w.silents)
	}
	w.metrics.trials.WithLabelValues(string(verdict)).Inc()
	w.deps.Log.Debug("tried an endpoint", "endpoint", e.addr, "verdict", verdict, "probes", t.own, "witnesses", len(t.witnesses))
	e.doubted = time.Time{}
	if e.lastDoubt.After(t.began) && e.lastDoubt.After(e.answered) {
		e.doubted = e.lastDoubt
	}
	switch verdict {
	case FalseAlarm:
		e.rest = now.Add(restPeriod)
		if t.own[1] == "" {
			w.probing.left += float64(t.reserved - 1) // the others were not made
		}
		if t.own[0] == Answered || t.own[1] == Answered {
			e.vouched = t.began
			e.lesson.offer(Answered, t.began)
		}
	case Silent:
		w.silenceOf(e, reason, now)
	}
}

// silenceOf notes that an endpoint does not answer.
func (w *Watch) silenceOf(e *endpoint, reason Outcome, now time.Time) {
	e.silence = newSilence(reason, now, now.Sub(e.returned) < flapPeriod && !e.returned.IsZero())
	e.lesson.offered, e.doubted = "", time.Time{}
	w.silents++
	w.changed = w.mode == On
	w.attention[e.addr] = e
	e.rest = now
	w.deps.Log.Warn("an endpoint does not answer", "endpoint", e.addr, "probe", reason, "services", e.services, "mode", w.mode)
}

// free notes that an endpoint is no longer silent.
func (w *Watch) free(e *endpoint) {
	e.silence = nil
	w.silents--
	w.changed = w.mode == On
}

// learn draws the consequences of a single probe.
func (w *Watch) learn(p probed, now time.Time) {
	e := w.endpoints[p.endpoint]
	if e == nil {
		return
	}
	if p.met == Answered {
		e.vouched = p.began
	}
	if p.purpose == forLesson {
		e.learning = false
		e.lesson.offer(p.met, p.began)
		return
	}
	e.busy = false
	switch {
	case e.silence == nil:
	case e.silence.judge(p.met, e.lesson, now):
		w.deps.Log.Info("an endpoint answers again", "endpoint", e.addr, "services", e.services, "after", now.Sub(e.silence.since))
		w.reportReturn(e)
		w.free(e)
		e.returned, e.sampled = now, time.Time{}
	default:
		e.rest = p.began.Add(w.returnPeriod())
		if e.silence.successes > 0 && e.silence.probation < flapProbation {
			e.rest = now
		}
	}
}

// returnPeriod is the time between two probes of a silent endpoint: so long that all of them together make no more than
// probesPerSecond.
func (w *Watch) returnPeriod() time.Duration {
	return max(restPeriod, time.Duration(w.silents)*time.Second/probesPerSecond)
}
