package loop

import (
	"io"
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a TCP connection of a loop. It is a net.Conn, whose methods are called by tasks of that loop: at any time one may read and
// one may write.
type Conn struct {
	loop          *Loop
	fd            int
	local, remote netip.AddrPort
	listener      *Listener // that counts it; nil: was dialled

	readable, writable bool // as far as known: epoll tells of edges
	hungUp             bool // the end of what the peer sends, or an error, is there to be read
	closed             bool
	in, out            waiting
	read, write        patience
	back               []byte // what was given back by Unread
	gone               func() // see OnHangUp

	queued bool // see Queue
	queue  []byte
	failed error // of a write of the queue
}

// patience says how long a side of a connection is waited for.
type patience struct {
	deadline time.Duration // of Loop.now; 0: none
	silence  time.Duration // of each single wait; 0: none
}

func (p *patience) until(now time.Duration) time.Duration {
	if p.silence == 0 {
		return p.deadline
	}
	if silent := now + p.silence; p.deadline == 0 || silent < p.deadline {
		return silent
	}
	return p.deadline
}

// watched is what connections are registered for: edges, once and for all.
const watched = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// newConn takes over a connected socket, or one that is about to be.
func (l *Loop) newConn(fd int, remote netip.AddrPort) (*Conn, error) {
	c := &Conn{loop: l, fd: fd, remote: remote}
	if err := l.add(fd, watched, c); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return c, nil
}

// event notes what the kernel says, and wakes who waited for it.
func (c *Conn) event(events uint32) {
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.readable = true
		if !c.hungUp && events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			c.hungUp = true
			if c.gone != nil {
				c.gone()
			}
		}
		if c.in.task != nil {
			c.loop.schedule(c.in.task)
		}
	}
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.writable = true
		if len(c.queue) > 0 {
			c.drain()
		}
		if c.out.task != nil {
			c.loop.schedule(c.out.task)
		}
	}
}

func (c *Conn) stop() { _ = c.Close() }

// Read reads what there is, waiting for it if there is nothing. A wait that takes too long is os.ErrDeadlineExceeded.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.back) > 0 {
		n := copy(p, c.back)
		c.back = c.back[n:]
		return n, nil
	}
	for {
		if err := c.WaitReadable(); err != nil {
			return 0, err
		}
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch {
		case errno == 0:
			return c.received(int(n), len(p))
		case errno == unix.EAGAIN:
			c.readable = false
		case errno != unix.EINTR:
			return 0, &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", errno)}
		}
	}
}

// received accounts for a read of n bytes into a buffer of that size.
func (c *Conn) received(n, size int) (int, error) {
	if n == 0 {
		return 0, io.EOF
	}
	if n < size && !c.hungUp {
		c.readable = false // it was all; more comes with another edge
	}
	c.took()
	return n, nil
}

// took counts a read against the turn of the task.
func (c *Conn) took() {
	if t := c.loop.current; t.left > 0 {
		t.left--
	} else {
		t.Yield()
	}
}

// WaitReadable waits until there is something to read, be it the end, so that no buffer is held meanwhile.
func (c *Conn) WaitReadable() error {
	for !c.readable && len(c.back) == 0 {
		if len(c.queue) > 0 {
			c.drain() // the peer may wait for it before it answers
		}
		if err := c.wait(&c.in, "read", c.read.until(c.loop.now)); err != nil {
			return err
		}
	}
	if c.closed {
		return net.ErrClosed
	}
	return nil
}

// OnHangUp has f called when the peer ends what it sends, or the connection, while nobody may read: f is not in a task and cannot
// wait. What came to an end before is not told. nil: nothing is called any more.
func (c *Conn) OnHangUp(f func()) { c.gone = f }

// Readable says whether Read would return at once, as far as is known.
func (c *Conn) Readable() bool { return c.readable || len(c.back) > 0 }

// wait suspends the running task for one round at least.
func (c *Conn) wait(w *waiting, op string, until time.Duration) error {
	if c.closed {
		return net.ErrClosed
	}
	if until != 0 && until <= c.loop.now || !c.loop.wait(w, c.loop.current, until) {
		return &net.OpError{Op: op, Net: "tcp", Addr: c.RemoteAddr(), Err: os.ErrDeadlineExceeded}
	}
	return nil
}

// Unread gives back what was read; it is read again before anything else. The connection keeps p.
func (c *Conn) Unread(p []byte) { c.back = append(p[:len(p):len(p)], c.back...) }

// Close closes the connection. Those who wait for it get net.ErrClosed.
func (c *Conn) Close() error {
	if c.closed {
		return net.ErrClosed
	}
	if len(c.queue) > 0 {
		c.drain() // such as the last words of TLS
	}
	c.closed, c.readable, c.writable = true, true, true
	c.queue, c.back = nil, nil
	for _, w := range []*waiting{&c.in, &c.out} {
		if w.task != nil {
			c.loop.schedule(w.task)
		}
		c.loop.forget(w)
	}
	if c.listener != nil {
		c.listener.left()
	}
	return c.loop.closeFD(c.fd)
}

// Reset closes the connection so that the peer sees a failure, not an end.
func (c *Conn) Reset() {
	if !c.closed {
		_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		_ = c.Close()
	}
}

// CloseWrite ends what is sent; what was queued has to be flushed before.
func (c *Conn) CloseWrite() error {
	if c.closed {
		return net.ErrClosed
	}
	return os.NewSyscallError("shutdown", unix.Shutdown(c.fd, unix.SHUT_WR))
}

// Loop returns the connection's loop.
func (c *Conn) Loop() *Loop { return c.loop }

// Remote returns the peer's address.
func (c *Conn) Remote() netip.AddrPort { return c.remote }

// Local returns the own address.
func (c *Conn) Local() netip.AddrPort {
	if !c.local.IsValid() && !c.closed {
		if sa, err := unix.Getsockname(c.fd); err == nil {
			c.local = addrPort(sa)
		}
	}
	return c.local
}

// LocalAddr returns the own address.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.Local()) }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline bounds all reads from now on, also one that waits already. The zero time is no deadline.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.read.deadline = c.loop.since(t)
	c.rethink(&c.in, &c.read)
	return nil
}

// SetWriteDeadline bounds all writes from now on, also one that waits already. The zero time is no deadline.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.write.deadline = c.loop.since(t)
	c.rethink(&c.out, &c.write)
	return nil
}

// SetReadTimeout bounds each single wait of a read; 0: no bound. It costs nothing, unlike a deadline for each read.
func (c *Conn) SetReadTimeout(d time.Duration) { c.read.silence = d }

// SetWriteTimeout bounds each single wait of a write; 0: no bound.
func (c *Conn) SetWriteTimeout(d time.Duration) { c.write.silence = d }

// rethink has the task that waits there look at the time again.
func (c *Conn) rethink(w *waiting, p *patience) {
	if w.task == nil {
		return
	}
	if w.until = p.until(c.loop.now); w.until != 0 {
		c.loop.wheel.move(w, int64((w.until+tick-1)/tick))
	}
}

// since converts a deadline; what has passed is the first moment of all.
func (l *Loop) since(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(t.Sub(l.base), 1)
}

// Quiet says whether there is nothing to read: neither data nor the end. It asks the kernel where that is not known.
func (c *Conn) Quiet() bool {
	if len(c.back) > 0 || c.closed || c.hungUp {
		return false
	}
	if !c.readable {
		return true
	}
	var one [1]byte
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&one[0])), 1, unix.MSG_PEEK, 0, 0)
	if errno == unix.EAGAIN {
		c.readable = false
	}
	return errno == unix.EAGAIN
}
