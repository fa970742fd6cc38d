package conntrack

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// groupNew is the multicast group of connections that begin (1 << (NFNLGRP_CONNTRACK_NEW - 1),
	// linux/netfilter/nfnetlink_compat.h).
	groupNew = 1 << 0
	// eventBuffer bounds how much of a burst waits for the reader, in bytes of kernel memory, of which the kernel gives twice
	// as much.
	eventBuffer = 128 << 10
)

// Events tells of connections that begin in one network namespace. Who reads too slowly misses some, and is not told.
type Events struct {
	file   *os.File
	conn   syscall.RawConn
	buffer []byte
	closed atomic.Bool
}

// Listen returns the events of the calling thread's network namespace. They need net.netfilter.nf_conntrack_events to be
// 1 or (since Linux 5.19) 2 when a connection begins, which is the kernel's default.
func Listen() (*Events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netfilter netlink socket: %w", err)
	}
	// Without ENOBUFS an overrun costs nothing but the events that did not fit.
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventBuffer),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groupNew}),
	); err != nil {
		return nil, errors.Join(fmt.Errorf("listen to the events of conntrack: %w", err), unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), "conntrack events")
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen to the events of conntrack: %w", err), file.Close())
	}
	return &Events{file: file, conn: conn, buffer: make([]byte, receiveBuffer)}, nil
}

// Close ends a Read that waits, with os.ErrClosed.
func (e *Events) Close() error {
	e.closed.Store(true)
	return e.file.Close()
}

// Read waits for a connection to begin, and passes it and all that are known of by then to visit.
func (e *Events) Read(visit func(Connection)) error {
	var failure error
	some := false
	err := e.conn.Read(func(fd uintptr) bool {
		for {
			n, _, err := unix.Recvfrom(int(fd), e.buffer, 0)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return some
			case errors.Is(err, unix.EINTR):
				continue
			case err != nil:
				failure = fmt.Errorf("receive events of conntrack: %w", err)
				return true
			}
			some = true
			for m := range messages(e.buffer[:n]) {
				if c, ok := parseConnection(m.payload); ok {
					visit(c)
				}
			}
		}
	})
	if e.closed.Load() {
		return os.ErrClosed
	}
	return errors.Join(err, failure)
}
