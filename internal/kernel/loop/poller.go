package loop

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller waits for the events of an epoll.
//
// A thread that is blocked in the kernel keeps Go's monitor busy, which looks after it every 20 us. So the loop waits as goroutines
// do for a socket, its own epoll being the socket.
type poller struct {
	epoll  int
	events []unix.EpollEvent
	n      int // of events

	file  *os.File // of epoll, for Go's own poller
	raw   syscall.RawConn
	look  func(uintptr) bool
	armed time.Duration // when the file's deadline is, since the loop's base; 0: it has none
}

// newPoller takes over the epoll.
func newPoller(epoll int) poller {
	p := poller{epoll: epoll, events: make([]unix.EpollEvent, 256)}
	// Neither can fail: it is a valid descriptor.
	_ = unix.SetNonblock(epoll, true)
	p.file = os.NewFile(uintptr(epoll), "epoll")
	p.raw, _ = p.file.SyscallConn()
	return p
}

// wait returns the events that there are, or waits for some, until a time since base if limited.
func (p *poller) wait(now bool, base time.Time, until time.Duration, limited bool) []unix.EpollEvent {
	p.poll()
	if p.n > 0 || now {
		return p.events[:p.n]
	}
	if limited && (p.armed == 0 || until < p.armed) {
		p.armed = until
		// An epoll is taken by Go's poller, so it has deadlines.
		_ = p.file.SetReadDeadline(base.Add(until))
	}
	if p.look == nil {
		p.look = func(uintptr) bool { p.poll(); return p.n > 0 }
	}
	if p.raw.Read(p.look) != nil {
		p.n, p.armed = 0, 0
		_ = p.file.SetReadDeadline(time.Time{})
	}
	return p.events[:p.n]
}

// poll looks for events without waiting.
func (p *poller) poll() {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), 0, 0, 0)
	p.n = int(n)
	if errno != 0 {
		p.n = 0 // EINTR; nothing else can be wrong
	}
}

func (p *poller) close() { _ = p.file.Close() }
