package quarantine

import (
	"net/netip"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// endpoint is what is known of an endpoint that this node's clients connect to. It belongs to the goroutine of Watch.Run.
type endpoint struct {
	addr netip.AddrPort
	// services are those that have it in a pool with others, over TCP.
	services []model.Ref

	sampled  time.Time // when its newest sampled connection began
	answered time.Time // when the newest one began that is known to be answered
	doubted  time.Time // when the oldest one began after that which was not answered; zero: there is none

	// lastDoubt is when the newest one began that was not answered.
	lastDoubt time.Time

	busy     bool      // a trial or a probe of the silent endpoint is under way
	rest     time.Time // none begins before this
	learning bool      // a probe to learn from is
	// vouched is when a probe was last answered.
	vouched time.Time

	lesson  lesson
	silence *silence // nil: it answers, as far as known
	// returned is when it was last put back.
	returned time.Time
}

// lesson is what a probe meets while connections of clients are answered: whether probes of this endpoint mean anything.
// A server may ignore half-closed connections, a NetworkPolicy may keep this node from a pod that its pods may reach.
type lesson struct {
	met Outcome   // empty: not known
	at  time.Time // when met was learned
	// offered was met at the time offeredAt; it is learned when a connection is answered that began after that.
	offered   Outcome
	offeredAt time.Time
}

// relearnAfter is how long a lesson that makes probes meaningless is believed.
const relearnAfter = 10 * time.Minute

// due reports whether a probe is to be made to learn from.
func (l lesson) due(now time.Time) bool {
	return l.met == "" && now.Sub(l.offeredAt) > restPeriod || l.met != "" && l.met != Answered && now.Sub(l.at) > relearnAfter
}

// offer notes what a probe has met. What is as it should be needs no second opinion.
func (l *lesson) offer(o Outcome, began time.Time) {
	l.offered, l.offeredAt = o, began
	if o == Answered {
		l.met, l.at = o, began
	}
}

// confirm notes that a connection was answered which began then.
func (l *lesson) confirm(began time.Time) {
	if l.offered != "" && l.offered != Unknown && began.After(l.offeredAt) {
		l.met, l.at, l.offered = l.offered, l.offeredAt, ""
	}
}

// silence is the state of an endpoint that was found not to answer.
type silence struct {
	since  time.Time
	reason Outcome // of the last probe: Mute, Refused or Unreachable
	// successes in a row of the probes since; probation is how many lead back.
	successes, probation int
	// mute is since when its connections are accepted again, but not answered, where reason was another; zero: they are not.
	mute time.Time
	// wasOut is when it was last seen to be out of a pool; at first, when it was found.
	wasOut time.Time
	// reported says what users were told of each Service.
	reported map[model.Ref]fate
}

// The probes in a row that lead back: one more than enough, since the first may have met the end of a process; and for an
// endpoint that was put back within flapPeriod before, one a second.
const (
	probation     = 2
	flapProbation = 3
	flapPeriod    = time.Minute
	// paroleAfter is when an endpoint is tried again that is back, as far as connections go, and does not answer probes
	// as it did: another program may be there.
	paroleAfter = 30 * time.Second
)

func newSilence(reason Outcome, now time.Time, flaps bool) *silence {
	s := &silence{since: now, wasOut: now, reason: reason, probation: probation, reported: map[model.Ref]fate{}}
	if flaps {
		s.probation = flapProbation
	}
	return s
}

// judge notes what a probe has met, and reports whether the endpoint is back.
func (s *silence) judge(o Outcome, l lesson, now time.Time) bool {
	switch {
	case o == Unknown:
		return false
	case o == Refused || o == Unreachable:
		s.reason, s.mute, s.successes = o, time.Time{}, 0
		return false
	case o == Mute && (s.reason == Mute || l.met == Answered && !s.onParole(now)):
		s.successes = 0
		return false
	}
	s.successes++
	return s.successes >= s.probation
}

// onParole notes that connections are accepted and not answered, and reports whether they are for long enough.
func (s *silence) onParole(now time.Time) bool {
	if s.mute.IsZero() {
		s.mute = now
	}
	return now.Sub(s.mute) >= paroleAfter
}
