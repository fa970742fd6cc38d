package loop

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Config is what a Loop needs.
type Config struct {
	// Log gets the panics of tasks. nil: they are dropped.
	Log *slog.Logger
	// Panic is called for each panic of a task, to count it; nil: nothing is called.
	Panic func()
}

// yieldEvery is how long a loop that always has something to do keeps other goroutines from their turn, where it shares a processor with
// them: Go itself would do so for 10 ms.
const yieldEvery = time.Millisecond

// handler gets the events of a file descriptor.
type handler interface {
	event(events uint32)
	// stop ends the handler, as the loop ends.
	stop()
}

// registration is who handles a file descriptor. The generation tells the events of a descriptor that was closed from those of its
// next user.
type registration struct {
	handler    handler
	generation int32
}

// Loop runs tasks, one at a time. Its zero value is of no use: see New.
type Loop struct {
	config      Config
	epoll, wake int
	poller      poller
	handlers    []registration // by file descriptor
	generation  int32

	mu     sync.Mutex
	posted []func() // guarded by mu
	ended  bool     // guarded by mu

	base  time.Time     // when the loop was made
	now   time.Duration // since base, of this round
	wheel wheel

	current *Task
	ready   []*Task // to run in the next round
	turn    []*Task // running in this one
	idle    []*Task // coroutines without work
	live    taskList
	stopped bool
	yielded time.Duration // when other goroutines had their turn last
}

// New returns a loop, which runs nothing yet.
func New(config Config) (*Loop, error) {
	l := &Loop{config: config, base: time.Now()}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), unix.Close(l.epoll))
	}
	if err = l.add(l.wake, unix.EPOLLIN, waker{l}); err != nil {
		return nil, errors.Join(err, unix.Close(l.wake), unix.Close(l.epoll))
	}
	l.poller = newPoller(l.epoll)
	return l, nil
}

// Run runs tasks until the context ends. Then all connections are closed, and all tasks end where they wait: their deferred
// functions run, and those that are in Await are waited for. The loop cannot be run again.
func (l *Loop) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { l.Post(func() { l.stopped = true }) })()
	for !l.stopped {
		l.round()
	}
	l.cut()
	for l.live.n > 0 {
		l.round()
	}
	l.close()
	return nil
}

// round waits for events and runs what they make ready.
func (l *Loop) round() {
	until, limited := l.wheel.due()
	events := l.poller.wait(len(l.ready) > 0, l.base, until, limited)
	l.now = time.Since(l.base)
	if l.now-l.yielded > yieldEvery {
		l.yielded = l.now
		runtime.Gosched()
	}
	for i := range events {
		e := &events[i]
		if r := l.handlers[e.Fd]; r.handler != nil && r.generation == e.Pad {
			r.handler.event(e.Events)
		}
	}
	l.wheel.expire(l)
	l.turn, l.ready = l.ready, l.turn[:0]
	for i, t := range l.turn {
		l.turn[i] = nil
		t.resume()
	}
}

// Now returns the time of this round, which is cheap and some microseconds old.
func (l *Loop) Now() time.Time { return l.base.Add(l.now) }

// Elapsed returns the time since the loop was made, as of this round: cheaper still than Now.
func (l *Loop) Elapsed() time.Duration { return l.now }

// Running returns the task that runs now; nil outside of any.
func (l *Loop) Running() *Task { return l.current }

// Post has f run on the loop, outside of any task: it may not wait, but start tasks and wake them. It may be called from any
// goroutine, also before Run; once the loop has ended, f does not run.
func (l *Loop) Post(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.posted = append(l.posted, f)
	if len(l.posted) == 1 {
		one := [8]byte{1}
		// If that fails, the counter is at its limit, and the loop awake.
		_, _ = unix.Write(l.wake, one[:])
	}
}

// waker gets the events of the loop's eventfd: functions were posted.
type waker struct{ loop *Loop }

func (w waker) event(uint32) {
	var count [8]byte
	_, _ = unix.Read(w.loop.wake, count[:])
	w.loop.mu.Lock()
	posted := w.loop.posted
	w.loop.posted = nil
	w.loop.mu.Unlock()
	for _, f := range posted {
		w.loop.guard(f)
	}
}

// guard calls f and survives its panic, which is logged.
func (l *Loop) guard(f func()) {
	defer func() {
		if reason := recover(); reason != nil {
			l.panicked(reason)
		}
	}()
	f()
}

// panicked counts and logs a panic.
func (l *Loop) panicked(reason any) {
	if l.config.Panic != nil {
		l.config.Panic()
	}
	if l.config.Log != nil {
		l.config.Log.Error("a task panicked", slog.Bool("bug", true), slog.Any("panic", reason), slog.String("stack", string(debug.Stack())))
	}
}

func (waker) stop() {}

// cut closes all connections and has all tasks end where they wait.
func (l *Loop) cut() {
	for _, r := range l.handlers {
		if r.handler != nil {
			r.handler.stop()
		}
	}
	for t := range l.live.all {
		if !t.awaiting {
			l.schedule(t)
		}
	}
}

// close frees what the loop itself has.
func (l *Loop) close() {
	for _, t := range l.idle {
		t.stop()
	}
	l.mu.Lock()
	l.ended, l.posted = true, nil
	_ = unix.Close(l.wake)
	l.mu.Unlock()
	l.poller.close()
}

// add registers a file descriptor.
func (l *Loop) add(fd int, events uint32, h handler) error {
	for fd >= len(l.handlers) {
		l.handlers = append(l.handlers, registration{})
	}
	l.generation++
	event := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: l.generation}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	l.handlers[fd] = registration{h, l.generation}
	return nil
}

// change changes the events that a registered file descriptor is watched for.
func (l *Loop) change(fd int, events uint32) error {
	event := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: l.handlers[fd].generation}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, fd, &event))
}

// closeFD closes a registered file descriptor.
func (l *Loop) closeFD(fd int) error {
	l.handlers[fd] = registration{}
	return os.NewSyscallError("close", unix.Close(fd))
}
