package loop

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	backlog = 4096
	// acceptTurn is how many connections are accepted before others get their turn.
	acceptTurn = 64
	// acceptPause is how long none are accepted after the process ran out of file descriptors or memory.
	acceptPause = 50 * time.Millisecond
)

// ListenConfig is how a Listener accepts.
type ListenConfig struct {
	// Connections is how many there may be at a time; more wait in the kernel's queue. 0: no limit.
	Connections int
	// Refused is called when the process has no file descriptor or memory for another connection; nil: nothing is.
	Refused func(error)
}

// Listener accepts the connections of one address.
type Listener struct {
	loop   *Loop
	config ListenConfig
	fd     int
	addr   netip.AddrPort
	serve  func(*Task, *Conn)
	open   int // connections
	paused bool
	closed bool
}

// Listen accepts connections of a TCP address, and runs serve for each in a task of its own; the connection is closed when it
// returns. Several loops may listen on one address: the kernel spreads the connections (SO_REUSEPORT). Port 0 is any that is free:
// see Addr. It is called on the loop, or before it runs.
func (l *Loop) Listen(addr netip.AddrPort, config ListenConfig, serve func(*Task, *Conn)) (*Listener, error) {
	fd, err := listen(addr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(addr), Err: err}
	}
	s := &Listener{loop: l, config: config, fd: fd, serve: serve}
	sa, err := unix.Getsockname(fd)
	if err == nil {
		s.addr = addrPort(sa)
		err = l.add(fd, unix.EPOLLIN, s)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return s, nil
}

func listen(addr netip.AddrPort) (int, error) {
	fd, err := socket(addr)
	if err != nil {
		return -1, err
	}
	options := [][3]int{{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}, {unix.SOL_SOCKET, unix.SO_REUSEPORT, 1}}
	if addr.Addr().Is6() && !addr.Addr().Is4In6() {
		only := 1
		if addr.Addr().IsUnspecified() {
			only = 0 // "::" is both families
		}
		options = append(options, [3]int{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only})
	}
	for _, o := range options {
		if err = unix.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
			return -1, errors.Join(os.NewSyscallError("setsockopt", err), unix.Close(fd))
		}
	}
	if err = unix.Bind(fd, sockaddr(addr)); err != nil {
		return -1, errors.Join(os.NewSyscallError("bind", err), unix.Close(fd))
	}
	if err = unix.Listen(fd, backlog); err != nil {
		return -1, errors.Join(os.NewSyscallError("listen", err), unix.Close(fd))
	}
	return fd, nil
}

// Addr returns the address, with the port that was chosen.
func (s *Listener) Addr() netip.AddrPort { return s.addr }

// Open returns how many of its connections there are.
func (s *Listener) Open() int { return s.open }

// Close ends accepting; those who are in the kernel's queue are accepted before. Connections stay.
func (s *Listener) Close() error {
	if s.closed {
		return net.ErrClosed
	}
	for s.accept() {
		continue
	}
	s.closed = true
	return s.loop.closeFD(s.fd)
}

func (s *Listener) stop() {
	if !s.closed {
		s.closed = true
		_ = s.loop.closeFD(s.fd)
	}
}

func (s *Listener) event(uint32) {
	for range acceptTurn {
		if s.config.Connections > 0 && s.open >= s.config.Connections {
			s.pause(true)
			return
		}
		if !s.accept() {
			return
		}
	}
}

// accept takes one connection from the kernel's queue, if there is one.
func (s *Listener) accept() bool {
	fd, sa, err := unix.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	switch {
	case err == nil:
	case errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.EINTR):
		return true
	case errors.Is(err, unix.EAGAIN):
		return false
	default:
		s.refuse(os.NewSyscallError("accept4", err))
		return false
	}
	c, err := s.loop.newConn(fd, addrPort(sa))
	if err != nil {
		s.refuse(err)
		return false
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	c.writable, c.listener = true, s
	s.open++
	s.loop.Go(func(t *Task) {
		defer c.Close()
		s.serve(t, c)
	})
	return true
}

// refuse takes a break, as the process has run out of something.
func (s *Listener) refuse(err error) {
	if s.config.Refused != nil {
		s.config.Refused(err)
	}
	s.pause(true)
	s.loop.Go(func(t *Task) {
		t.Sleep(acceptPause)
		s.pause(false)
	})
}

// left is called when one of the connections is closed.
func (s *Listener) left() {
	s.open--
	if s.config.Connections > 0 {
		s.pause(false)
	}
}

// pause stops accepting, or goes on with it.
func (s *Listener) pause(paused bool) {
	if s.closed || s.paused == paused {
		return
	}
	s.paused = paused
	var events uint32
	if !paused {
		events = unix.EPOLLIN
	}
	// It is registered: nothing can fail.
	_ = s.loop.change(s.fd, events)
}
