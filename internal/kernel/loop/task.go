package loop

import (
	"fmt"
	"iter"
	"runtime/debug"
	"time"
)

// turnLength is how many reads a task may do without waiting before others get their turn.
const turnLength = 64

// idleTasks bounds the coroutines that are kept for the next task.
const idleTasks = 256

// Task is a coroutine of a loop. Its methods are for the code that runs in it, but for Wake.
type Task struct {
	loop  *Loop
	f     func(*Task)
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool

	queued   bool // in Loop.ready
	awaiting bool // Await's function runs
	woken    bool // Wake was called since the last Park
	left     int  // of its turn
	park     waiting

	before, after *Task // in Loop.live
}

// taskList is a list of tasks, linked through them.
type taskList struct {
	first *Task
	n     int
}

func (l *taskList) add(t *Task) {
	t.before, t.after = nil, l.first
	if l.first != nil {
		l.first.before = t
	}
	l.first = t
	l.n++
}

func (l *taskList) remove(t *Task) {
	if t.before != nil {
		t.before.after = t.after
	} else {
		l.first = t.after
	}
	if t.after != nil {
		t.after.before = t.before
	}
	t.before, t.after = nil, nil
	l.n--
}

func (l *taskList) all(yield func(*Task) bool) {
	for t := l.first; t != nil; t = t.after {
		if !yield(t) {
			return
		}
	}
}

// ended is what a task panics with where the loop has ended while it waited, so that its deferred functions run.
type ended struct{}

// Go starts a task. A panic of f ends that task only.
func (l *Loop) Go(f func(*Task)) {
	var t *Task
	if n := len(l.idle); n > 0 {
		t = l.idle[n-1]
		l.idle[n-1] = nil
		l.idle = l.idle[:n-1]
	} else {
		t = &Task{loop: l}
		t.next, t.stop = iter.Pull(t.body)
	}
	t.f = f
	l.live.add(t)
	l.schedule(t)
}

// Tasks returns how many tasks there are.
func (l *Loop) Tasks() int { return l.live.n }

// body is the coroutine: one function after the other.
func (t *Task) body(yield func(struct{}) bool) {
	t.yield = yield
	for {
		t.run()
		t.f, t.woken, t.queued = nil, false, false
		t.loop.live.remove(t)
		if t.loop.stopped || len(t.loop.idle) >= idleTasks {
			return
		}
		t.loop.idle = append(t.loop.idle, t)
		if !yield(struct{}{}) {
			return
		}
	}
}

func (t *Task) run() {
	defer func() {
		reason := recover()
		if reason == nil {
			return
		}
		if _, ok := reason.(ended); ok {
			return
		}
		t.loop.panicked(reason)
	}()
	t.f(t)
}

// resume runs the task until it waits or ends.
func (t *Task) resume() {
	t.queued = false
	t.left = turnLength
	t.loop.current = t
	t.next()
	t.loop.current = nil
}

// suspend hands over to the loop until the task is scheduled again.
func (t *Task) suspend() {
	t.endWithLoop()
	t.yield(struct{}{})
	t.endWithLoop()
}

func (t *Task) endWithLoop() {
	if t.loop.stopped {
		panic(ended{})
	}
}

// schedule has the task run in the next round.
func (l *Loop) schedule(t *Task) {
	if !t.queued {
		t.queued = true
		l.ready = append(l.ready, t)
	}
}

// Loop returns the loop that the task runs on.
func (t *Task) Loop() *Loop { return t.loop }

// Yield lets other tasks run.
func (t *Task) Yield() {
	t.loop.schedule(t)
	t.suspend()
}

// Sleep waits for d, and up to 10 ms longer.
func (t *Task) Sleep(d time.Duration) {
	until := t.loop.now + max(d, 0)
	for t.loop.now < until {
		t.loop.wait(&t.park, t, until)
	}
}

// Park waits until Wake is called, which it says, or until a time, unless that is zero. A Wake since the last Park also counts.
func (t *Task) Park(until time.Time) (woken bool) {
	var limit time.Duration
	if !until.IsZero() {
		limit = max(until.Sub(t.loop.base), 1)
	}
	for !t.woken {
		if !t.loop.wait(&t.park, t, limit) {
			break
		}
	}
	woken, t.woken = t.woken, false
	return woken
}

// Wake ends the task's Park, or its next one. It is called on the task's loop.
func (t *Task) Wake() {
	t.woken = true
	if t.park.task == t {
		t.loop.schedule(t)
	}
}

// Await runs f, which may block, on a goroutine and returns when f has. A panic of f is one of the task.
func (t *Task) Await(f func()) {
	t.endWithLoop()
	var failed any
	done := false
	t.awaiting = true
	go func() {
		defer t.loop.Post(func() {
			done, t.awaiting = true, false
			t.loop.schedule(t)
		})
		defer func() {
			if reason := recover(); reason != nil {
				failed = fmt.Sprintf("%v\n%s", reason, debug.Stack())
			}
		}()
		f()
	}()
	for !done {
		t.suspend()
	}
	if failed != nil {
		panic(failed)
	}
}
