package relay

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// bufferSize is what is read at once, and the most that a connection holds back in either direction.
	bufferSize = 64 << 10
	// acceptPause is how long a worker takes no connections after the process ran out of file descriptors or memory.
	acceptPause = 50 * time.Millisecond
	// spares bounds the buffers and pipes that a worker keeps for the next connection in need.
	spares = 64
)

// handler gets the events of a file descriptor.
type handler interface {
	event(w *worker, events uint32)
}

// registration is who handles a file descriptor. The generation tells the events of a descriptor that was closed from
// those of its next user.
type registration struct {
	handler    handler
	generation int32
}

// worker is one thread with its connections.
type worker struct {
	relay       *Relay
	epoll, wake int
	waiter      waiter
	handlers    []registration // by file descriptor
	generation  int32
	stopped     bool

	mu    sync.Mutex
	tasks []func() // guarded by mu

	now      time.Time // of this round
	buffer   []byte
	ready    []*pair // with more to do than was done in their turn
	resumeAt time.Time
	paused   []*acceptor

	connecting, young queue[*pair]
	buffers           [][]byte
	pipes             []pipe
	udp               flows
}

func newWorker(r *Relay) (*worker, error) {
	w := &worker{relay: r, epoll: -1, wake: -1, buffer: make([]byte, bufferSize), udp: newFlows()}
	var err error
	if w.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if w.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), unix.Close(w.epoll))
	}
	return w, w.add(w.wake, unix.EPOLLIN, w)
}

// post has the worker do something in its next round.
func (w *worker) post(task func()) {
	w.mu.Lock()
	w.tasks = append(w.tasks, task)
	w.mu.Unlock()
	var one [8]byte
	one[0] = 1
	// If that fails, the counter is at its limit, and the worker awake.
	_, _ = unix.Write(w.wake, one[:])
}

// do has the worker do something, and returns when it is done.
func (w *worker) do(task func()) {
	done := make(chan struct{})
	w.post(func() { task(); close(done) })
	<-done
}

// event reads the counter that woke the worker; the tasks themselves are run by each round.
func (w *worker) event(_ *worker, _ uint32) {
	var count [8]byte
	_, _ = unix.Read(w.wake, count[:])
}

func (w *worker) takeTasks() []func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	tasks := w.tasks
	w.tasks = nil
	return tasks
}

// add registers a file descriptor.
func (w *worker) add(fd int, events uint32, h handler) error {
	for fd >= len(w.handlers) {
		w.handlers = append(w.handlers, registration{})
	}
	w.generation++
	w.handlers[fd] = registration{h, w.generation}
	event := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: w.generation}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

// change changes the events that a registered file descriptor is watched for.
func (w *worker) change(fd int, events uint32) error {
	event := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: w.handlers[fd].generation}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(w.epoll, unix.EPOLL_CTL_MOD, fd, &event))
}

// forget ends the events of a file descriptor that is about to be closed.
func (w *worker) forget(fd int) { w.handlers[fd] = registration{} }

// closeFD closes a registered file descriptor.
func (w *worker) closeFD(fd int) {
	w.forget(fd)
	closeFD(fd)
}

// run is the worker's thread. Where the namespace is not that of the process, no other goroutine may have the thread, and it
// ends with the worker.
func (w *worker) run(ns *Namespace, started chan<- error) {
	home := ns.isHome()
	var err error
	if !home {
		runtime.LockOSThread()
		err = ns.enter()
	}
	w.waiter = newWaiter(w.epoll, home)
	started <- err
	defer w.close()
	if err != nil {
		return
	}
	for !w.stopped {
		events := w.waiter.wait(len(w.ready) > 0, w.due())
		w.now = time.Now()
		for _, e := range events {
			if r := w.handlers[e.Fd]; r.handler != nil && r.generation == e.Pad {
				r.handler.event(w, e.Events)
			}
		}
		w.goOn()
		w.expire()
		for _, task := range w.takeTasks() {
			task()
		}
	}
}

// due returns when there is something to do without an event; zero: never.
func (w *worker) due() time.Time {
	wake := w.connecting.wake(w.resumeAt, w.relay.config.ConnectTimeout)
	wake = w.young.wake(wake, silence)
	return w.udp.wake(wake, w.relay.config.FlowTimeout)
}

// goOn gives those their turn that were not done in the last one.
func (w *worker) goOn() {
	turn := w.ready
	w.ready = nil
	for _, p := range turn {
		if p.queued {
			p.queued = false
			p.pump(w)
		}
	}
}

// expire does what is due.
func (w *worker) expire() {
	for {
		p, ok := w.connecting.due(w.now, w.relay.config.ConnectTimeout)
		if !ok {
			break
		}
		p.failed(w, unix.ETIMEDOUT)
	}
	for {
		p, ok := w.young.due(w.now, silence)
		if !ok {
			break
		}
		p.cameOfAge(w)
	}
	w.expireFlows()
	if !w.resumeAt.IsZero() && !w.now.Before(w.resumeAt) {
		w.resumeAt = time.Time{}
		paused := w.paused
		w.paused = nil
		for _, a := range paused {
			a.watch(w)
		}
	}
}

// close closes all that the worker has, cutting connections.
func (w *worker) close() {
	for fd, r := range w.handlers {
		switch h := r.handler.(type) {
		case *side:
			h.pair.abort(w)
		case *flow:
			closeFD(fd)
		}
	}
	for _, p := range w.pipes {
		p.close()
	}
	w.udp.answers.close()
	w.waiter.close()
	closeFD(w.wake)
	// Whoever waits for a task that came too late.
	for _, task := range w.takeTasks() {
		task()
	}
}

func (w *worker) takeBuffer() []byte {
	if n := len(w.buffers); n > 0 {
		b := w.buffers[n-1]
		w.buffers = w.buffers[:n-1]
		return b
	}
	return make([]byte, bufferSize)
}

func (w *worker) giveBuffer(b []byte) {
	if len(w.buffers) < spares {
		w.buffers = append(w.buffers, b[:bufferSize])
	}
}
