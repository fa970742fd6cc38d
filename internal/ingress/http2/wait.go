package http2

import (
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// waiter is a place where one task waits for something to change. Whoever waits looks again after it was woken: it may have
// been for another reason.
type waiter struct{ task *loop.Task }

// wait suspends the running task until wake is called, or until a time, unless that is zero, which is false.
func (w *waiter) wait(l *loop.Loop, until time.Time) bool {
	t := l.Running()
	w.task = t
	defer w.leave()
	return t.Park(until)
}

func (w *waiter) leave() { w.task = nil }

func (w *waiter) wake() {
	if w.task != nil {
		w.task.Wake()
	}
}
