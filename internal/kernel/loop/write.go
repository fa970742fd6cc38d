package loop

import (
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// queueSize is from how many bytes on a queue is sent before Flush.
const queueSize = 64 << 10

// Queue changes how Write works, for crypto/tls, which holds locks while it writes: it never waits. It keeps what the kernel does
// not take, or what is too little for a system call of its own, until Flush or the next Read.
func (c *Conn) Queue() { c.queued = true }

// Write sends all of p, waiting for the peer as it takes it. A wait that takes too long is os.ErrDeadlineExceeded.
func (c *Conn) Write(p []byte) (int, error) {
	if c.queued {
		return c.enqueue(p)
	}
	sent := 0
	for sent < len(p) {
		n, err := c.send(p[sent:])
		sent += n
		if err == nil && sent < len(p) {
			err = c.wait(&c.out, "write", c.write.until(c.loop.now))
		}
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// send sends what the kernel takes now.
func (c *Conn) send(p []byte) (int, error) {
	for c.writable && len(p) > 0 {
		if c.closed {
			return 0, net.ErrClosed
		}
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
			unix.MSG_NOSIGNAL, 0, 0)
		switch {
		case errno == 0:
			c.writable = int(n) == len(p)
			return int(n), nil
		case errno == unix.EAGAIN:
			c.writable = false
		case errno != unix.EINTR:
			return 0, c.writeError(errno)
		}
	}
	return 0, nil
}

func (c *Conn) writeError(errno unix.Errno) error {
	return &net.OpError{Op: "write", Net: "tcp", Addr: c.RemoteAddr(), Err: os.NewSyscallError("send", errno)}
}

// Write2 sends a and b as Write does, in one system call where the kernel takes both.
func (c *Conn) Write2(a, b []byte) error {
	if c.queued || len(a) == 0 || len(b) == 0 || !c.writable || c.closed {
		if _, err := c.Write(a); err != nil {
			return err
		}
		_, err := c.Write(b)
		return err
	}
	vec := [2]unix.Iovec{{Base: &a[0], Len: uint64(len(a))}, {Base: &b[0], Len: uint64(len(b))}}
	message := unix.Msghdr{Iov: &vec[0], Iovlen: 2}
	n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&message)), unix.MSG_NOSIGNAL)
	if errno != 0 {
		if errno != unix.EAGAIN && errno != unix.EINTR {
			return c.writeError(errno)
		}
		n = 0
	}
	sent := int(n)
	c.writable = sent == len(a)+len(b) || errno == unix.EINTR
	if sent < len(a) {
		if _, err := c.Write(a[sent:]); err != nil {
			return err
		}
		sent = len(a)
	}
	_, err := c.Write(b[sent-len(a):])
	return err
}

func (c *Conn) enqueue(p []byte) (int, error) {
	if c.closed {
		return 0, net.ErrClosed
	}
	if c.failed != nil {
		return 0, c.failed
	}
	c.queue = append(c.queue, p...)
	if len(c.queue) >= queueSize {
		c.drain()
	}
	return len(p), c.failed
}

// drain sends what the kernel takes of the queue.
func (c *Conn) drain() {
	n, err := c.send(c.queue)
	if c.failed == nil {
		c.failed = err
	}
	if n == len(c.queue) || c.failed != nil {
		if cap(c.queue) > 2*queueSize {
			c.queue = nil
		}
		c.queue = c.queue[:0]
		return
	}
	c.queue = c.queue[:copy(c.queue, c.queue[n:])]
}

// Queued returns how many bytes wait in the queue.
func (c *Conn) Queued() int { return len(c.queue) }

// Flush waits until all that was queued is sent.
func (c *Conn) Flush() error {
	for c.failed == nil && len(c.queue) > 0 {
		if c.drain(); c.failed != nil || len(c.queue) == 0 {
			break
		}
		if err := c.wait(&c.out, "write", c.write.until(c.loop.now)); err != nil {
			return err
		}
	}
	if c.closed {
		return net.ErrClosed
	}
	return c.failed
}
