package loop

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is how much a pipe is asked to hold; where the system allows less, it moves less at a time.
	pipeSize = 512 << 10
	// idlePipes bounds those that a loop keeps.
	idlePipes = 64
)

// pipe is what data passes through on its way from socket to socket within the kernel.
type pipe struct{ read, write int }

func (l *Loop) takePipe() (pipe, error) {
	if n := len(l.pipes); n > 0 {
		p := l.pipes[n-1]
		l.pipes = l.pipes[:n-1]
		return p, nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return pipe{}, os.NewSyscallError("pipe2", err)
	}
	// It works with any size.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	return pipe{fds[0], fds[1]}, nil
}

// givePipe keeps an empty pipe for others.
func (l *Loop) givePipe(p pipe, empty bool) {
	if empty && len(l.pipes) < idlePipes && !l.stopped {
		l.pipes = append(l.pipes, p)
		return
	}
	p.close()
}

func (p pipe) close() {
	_ = unix.Close(p.read)
	_ = unix.Close(p.write)
}

// Splice moves n bytes that come from src to c, within the kernel: they are not copied. Nothing of src may have been given back. It waits for both, as Read and Write do. from
// is what went wrong with src (io.ErrUnexpectedEOF if it ends too early), to what went wrong with c.
func (c *Conn) Splice(src *Conn, n int64) (moved int64, from, to error) {
	p, err := c.loop.takePipe()
	if err != nil {
		return 0, err, nil
	}
	held := 0
	defer func() { c.loop.givePipe(p, held == 0) }()
	for moved < n {
		if held, from = src.spliceIn(p, n-moved); from != nil {
			return moved, from, nil
		}
		for held > 0 {
			m, err := c.spliceOut(p, held, moved+int64(held) < n)
			if err != nil {
				return moved, nil, err
			}
			held -= m
			moved += int64(m)
		}
	}
	return moved, nil, nil
}

// spliceIn moves what there is into an empty pipe.
func (c *Conn) spliceIn(p pipe, n int64) (int, error) {
	for {
		if err := c.WaitReadable(); err != nil {
			return 0, err
		}
		m, errno := splice(c.fd, p.write, int(min(n, pipeSize)), 0)
		switch {
		case errno == unix.EAGAIN:
			c.readable = false
		case errno == unix.EINTR:
		case errno != 0:
			return 0, &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: os.NewSyscallError("splice", errno)}
		case m == 0:
			return 0, io.ErrUnexpectedEOF
		default:
			c.took()
			return m, nil
		}
	}
}

// spliceOut moves what c takes of the n bytes in the pipe; more says that others will follow.
func (c *Conn) spliceOut(p pipe, n int, more bool) (int, error) {
	flags := 0
	if more {
		flags = unix.SPLICE_F_MORE
	}
	for {
		for !c.writable {
			if err := c.wait(&c.out, "write", c.write.until(c.loop.now)); err != nil {
				return 0, err
			}
		}
		if c.closed {
			return 0, net.ErrClosed
		}
		m, errno := splice(p.read, c.fd, n, flags)
		switch {
		case errno == unix.EAGAIN:
			c.writable = false
		case errno == unix.EINTR:
		case errno != 0:
			return 0, c.writeError(errno)
		default:
			return m, nil
		}
	}
}

func splice(from, to, n, flags int) (int, unix.Errno) {
	m, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n),
		uintptr(flags|unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK))
	return int(m), errno
}
