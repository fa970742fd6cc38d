package relay

import "time"

// queued is a place in a queue, part of what is queued. The zero place is in no queue.
type queued[T any] struct {
	value      T
	at         time.Time // when it was put there
	in         *queue[T]
	prev, next *queued[T]
}

// queue is ordered by time, so that what is due is at its front: everything in a queue waits for equally long.
type queue[T any] struct{ first, last *queued[T] }

// push puts a place at the end, wherever it was before.
func (q *queue[T]) push(e *queued[T], now time.Time) {
	e.remove()
	e.at, e.in, e.prev = now, q, q.last
	if q.last != nil {
		q.last.next = e
	} else {
		q.first = e
	}
	q.last = e
}

// remove takes a place out of its queue, if it is in one.
func (e *queued[T]) remove() {
	q := e.in
	if q == nil {
		return
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		q.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		q.last = e.prev
	}
	e.in, e.prev, e.next = nil, nil, nil
}

// due takes the first value out if it has waited for so long.
func (q *queue[T]) due(now time.Time, wait time.Duration) (value T, ok bool) {
	if q.first == nil || now.Sub(q.first.at) < wait {
		return value, false
	}
	e := q.first
	e.remove()
	return e.value, true
}

// wake returns when the first value is due, or what was given if that is sooner. The zero time is never.
func (q *queue[T]) wake(sooner time.Time, wait time.Duration) time.Time {
	if q.first == nil {
		return sooner
	}
	if at := q.first.at.Add(wait); sooner.IsZero() || at.Before(sooner) {
		return at
	}
	return sooner
}
