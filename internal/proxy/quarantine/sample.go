package quarantine

import (
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
)

// sample is a connection that is looked at again after it began.
type sample struct {
	conntrack.Connection
	began time.Time
}

// samples are those that wait, each list in the order they began.
type samples struct {
	fresh  []sample // not looked at
	looked []sample // looked at once, and not answered then
}

func (s *samples) pending() bool { return len(s.fresh)+len(s.looked) > 0 }

// judge looks at the samples that are old enough, and again at those that look keeps.
func (s *samples) judge(now time.Time, look func(s sample, last bool) (keep bool)) {
	n := 0
	for ; n < len(s.looked) && now.Sub(s.looked[n].began) >= patience; n++ {
		look(s.looked[n], true)
	}
	s.looked = s.looked[n:]
	n = 0
	for ; n < len(s.fresh) && now.Sub(s.fresh[n].began) >= glance; n++ {
		if look(s.fresh[n], false) {
			s.looked = append(s.looked, s.fresh[n])
		}
	}
	s.fresh = s.fresh[n:]
}

// note takes samples of connections that begin: of each endpoint, and in all, no more than so many a second.
func (w *Watch) note(batch []conntrack.Connection, now time.Time) {
	w.metrics.told.Add(float64(len(batch)))
	for _, c := range batch {
		e, known := w.endpoints[c.ReplySource]
		if !known {
			if _, foreign := w.foreign[c.ReplySource]; !foreign && len(w.unknown) < maxUnknown {
				w.unknown[c.ReplySource] = struct{}{}
			}
			continue
		}
		if e.silence != nil || now.Sub(e.sampled) < spacing || !w.sampling.take(now, 1, 0) {
			continue
		}
		e.sampled = now
		w.metrics.sampled.Inc()
		w.samples.fresh = append(w.samples.fresh, sample{c, now})
	}
}

// look sees how a sample fares, and reports whether to look again.
func (w *Watch) look(s sample, last bool) (keep bool) {
	e := w.endpoints[s.ReplySource]
	if e == nil || e.silence != nil {
		return false
	}
	now, ok, err := w.deps.Table.Lookup(s.Connection)
	switch {
	case err != nil:
		w.deps.Log.Debug("a connection cannot be looked up", "error", err)
		return false
	case ok && answered(now):
		w.serves(e, s.began)
		return false
	case ok && !last:
		return true
	}
	// Not answered; or gone, as only refused connections are so soon.
	w.metrics.suspicions.Inc()
	e.lastDoubt = s.began
	if s.began.After(e.answered) && (e.doubted.IsZero() || s.began.Before(e.doubted)) {
		e.doubted = s.began
		w.attention[e.addr] = e
	}
	return false
}

// serves notes that an endpoint answered a client's connection that began then.
func (w *Watch) serves(e *endpoint, began time.Time) {
	if began.After(e.answered) {
		e.answered = began
	}
	if !e.doubted.After(e.answered) {
		e.doubted = time.Time{}
	}
	e.lesson.confirm(began)
	if e.lesson.due(began) {
		w.attention[e.addr] = e
	}
}
