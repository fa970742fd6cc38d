package churn

import (
	"sync"
	"time"
)

// verdict is what an answer is.
type verdict uint8

const (
	right verdict = iota
	wrong
	stale
	missing
)

// state is one of those that a Service went through. Its number is its index; the endpoints' addresses say it.
type state struct {
	// absent is true if there is no Service.
	absent bool
	// began and accepted are when the change to it was sent, and when the API server had accepted it; zero: not yet.
	began, accepted time.Time
}

// history is the states of one Service.
type history struct {
	mu     sync.Mutex
	states []state // guarded by mu
	seen   int     // the latest that an answer was of, guarded by mu
	seenAt time.Time
}

// begin notes that a change is about to be sent.
func (h *history) begin(absent bool, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states = append(h.states, state{absent: absent, began: now})
}

// accept notes that the last change is in force.
func (h *history) accept(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states[len(h.states)-1].accepted = now
}

// judge returns what an answer of a state is, asked and received at those times.
func (h *history) judge(number int, asked, received time.Time) verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	if number >= len(h.states) || h.states[number].absent || h.states[number].began.After(received) {
		return wrong
	}
	if h.over(number, asked) || number < h.seen && asked.After(h.seenAt) {
		return stale
	}
	if number > h.seen {
		h.seen, h.seenAt = number, received
	}
	return right
}

// judgeAbsent returns what the answer is that there is no such Service.
func (h *history) judgeAbsent(asked, received time.Time) verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := wrong
	for i := len(h.states) - 1; i >= 0; i-- {
		if !h.states[i].absent || h.states[i].began.After(received) {
			continue
		}
		if !h.over(i, asked) && (i > h.seen || !asked.After(h.seenAt)) {
			return right
		}
		found = stale
	}
	return found
}

// over reports whether a state had given way to the next one, for long enough, before a question was asked. h.mu is held.
func (h *history) over(number int, asked time.Time) bool {
	if number == len(h.states)-1 {
		return false
	}
	next := h.states[number+1].accepted
	return !next.IsZero() && asked.After(next.Add(settle))
}
