package loop

import (
	"math/bits"
	"time"
)

const (
	// tick is how exact times of waiting are.
	tick = 10 * time.Millisecond
	// slots is the size of the wheel: what is due later than slots × tick is looked at once in each turn of it.
	slots = 1024
)

// waiting is a place where one task can wait, with a limit of time.
//
// It stays in the wheel when the task has what it waited for, and is looked at when its time has come: a connection that waits
// with the same patience for each request costs one entry in that time, not one per request.
type waiting struct {
	task    *Task         // who waits; nil: nobody
	until   time.Duration // of Loop.now; 0: no limit
	expired bool

	at            int64 // tick of its place in the wheel; 0: in none
	before, after *waiting
}

// wait suspends the task until it is scheduled, which is true, or its time has come.
func (l *Loop) wait(w *waiting, t *Task, until time.Duration) bool {
	w.task, w.until, w.expired = t, until, false
	if until > 0 {
		if at := int64((until + tick - 1) / tick); w.at == 0 || at < w.at {
			l.wheel.move(w, at)
		}
	}
	t.suspend()
	w.task = nil
	return !w.expired
}

// forget takes a place out of the wheel that will not be used again.
func (l *Loop) forget(w *waiting) {
	if w.at != 0 {
		l.wheel.remove(w)
	}
}

// wheel is a hashed timer wheel (Varghese and Lauck, 1987, scheme 6).
type wheel struct {
	slot [slots]*waiting
	used [slots / 64]uint64 // a bit for each slot that is not empty
	done int64              // the last tick that was looked at
}

func (w *wheel) move(e *waiting, at int64) {
	if e.at != 0 {
		w.remove(e)
	}
	e.at = max(at, w.done+1)
	i := e.at % slots
	e.before, e.after = nil, w.slot[i]
	if e.after != nil {
		e.after.before = e
	}
	w.slot[i] = e
	w.used[i/64] |= 1 << (i % 64)
}

func (w *wheel) remove(e *waiting) {
	i := e.at % slots
	if e.before != nil {
		e.before.after = e.after
	} else {
		w.slot[i] = e.after
	}
	if e.after != nil {
		e.after.before = e.before
	}
	if w.slot[i] == nil {
		w.used[i/64] &^= 1 << (i % 64)
	}
	e.at, e.before, e.after = 0, nil, nil
}

// due returns when the next slot in use has to be looked at.
func (w *wheel) due() (at time.Duration, ok bool) {
	first := (w.done + 1) % slots
	for n := int64(0); n < slots; {
		i := (first + n) % slots
		if word := w.used[i/64] >> (i % 64); word != 0 {
			return time.Duration(w.done+1+n+int64(bits.TrailingZeros64(word))) * tick, true
		}
		n += 64 - i%64
	}
	return 0, false
}

// expire schedules the tasks whose time has come.
func (w *wheel) expire(l *Loop) {
	now := int64(l.now / tick)
	for ; w.done < now; w.done++ {
		if now-w.done > slots {
			w.done = now - slots // one whole turn is enough
		}
		for e := w.slot[(w.done+1)%slots]; e != nil; {
			next := e.after
			if e.at <= now {
				w.remove(e)
				e.come(l)
			}
			e = next
		}
	}
}

// come is called when the time of the place has come; by now it may be for something else.
func (e *waiting) come(l *Loop) {
	switch {
	case e.task == nil || e.until == 0:
	case e.until > l.now:
		l.wheel.move(e, int64((e.until+tick-1)/tick))
	default:
		e.expired = true
		l.schedule(e.task)
	}
}
