package relay

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waiter waits for the events of a worker's epoll.
//
// A thread that is blocked in the kernel keeps Go's monitor busy, which looks after it every 20 us (with GOMAXPROCS=1, a
// tenth of the processor time of short connections). So a worker waits as goroutines do for a socket, its own epoll being
// the socket. Only where it has a thread in another network namespace than the process, it blocks: to wake such a thread
// up costs more.
type waiter struct {
	epoll  int
	events []unix.EpollEvent
	n      int // of events

	file  *os.File // of epoll, for Go's poller; nil: block
	raw   syscall.RawConn
	look  func(uintptr) bool
	armed time.Time // when the file's deadline is; zero: it has none
}

// newWaiter takes over the epoll. With park it waits as a goroutine.
func newWaiter(epoll int, park bool) waiter {
	w := waiter{epoll: epoll, events: make([]unix.EpollEvent, 256)}
	if !park || unix.SetNonblock(epoll, true) != nil {
		return w
	}
	w.file = os.NewFile(uintptr(epoll), "epoll")
	raw, err := w.file.SyscallConn()
	if err == nil && w.file.SetReadDeadline(time.Time{}) == nil {
		w.raw = raw // else Go's poller does not take it
	}
	return w
}

// wait returns the events that there are, or waits for some, until a time unless that is zero.
func (w *waiter) wait(now bool, until time.Time) []unix.EpollEvent {
	w.poll()
	if w.n > 0 || now {
		return w.events[:w.n]
	}
	if w.raw == nil {
		return w.block(until)
	}
	if !until.IsZero() && (w.armed.IsZero() || until.Before(w.armed)) {
		w.armed = until
		// It can be set: newWaiter has tried.
		_ = w.file.SetReadDeadline(until)
	}
	if w.look == nil {
		w.look = func(uintptr) bool { w.poll(); return w.n > 0 }
	}
	if w.raw.Read(w.look) != nil {
		w.n, w.armed = 0, time.Time{}
		_ = w.file.SetReadDeadline(time.Time{})
	}
	return w.events[:w.n]
}

// poll looks for events without waiting.
func (w *waiter) poll() {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(w.epoll), uintptr(unsafe.Pointer(&w.events[0])),
		uintptr(len(w.events)), 0, 0, 0)
	w.n = int(n)
	if errno != 0 {
		w.n = 0 // EINTR; nothing else can be wrong
	}
}

func (w *waiter) block(until time.Time) []unix.EpollEvent {
	milliseconds := -1
	if !until.IsZero() {
		milliseconds = max(0, int(time.Until(until)/time.Millisecond)+1)
	}
	n, err := unix.EpollWait(w.epoll, w.events, milliseconds)
	if err != nil {
		n = 0 // likewise
	}
	return w.events[:n]
}

func (w *waiter) close() {
	if w.file != nil {
		_ = w.file.Close()
		return
	}
	closeFD(w.epoll)
}
