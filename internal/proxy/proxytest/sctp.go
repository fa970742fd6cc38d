package proxytest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// hasSCTP reports whether the kernel has SCTP sockets.
func hasSCTP() bool {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, syscall.IPPROTO_SCTP)
	if err != nil {
		return false
	}
	return syscall.Close(fd) == nil
}

// serveSCTP is serveTCP over SCTP sockets of the one-to-one style, which behave like those of TCP (RFC 6458, section 4).
func (n *network) serveSCTP(ns *lab.Namespace, name string, port uint16) error {
	var listener net.Listener
	if err := ns.Do(func() (err error) {
		listener, err = listenSCTP(port)
		return err
	}); err != nil {
		return fmt.Errorf("listen on SCTP port %d of %s: %w", port, ns.Name(), err)
	}
	n.t.Cleanup(func() { listener.Close() })
	go accept(listener, name)
	return nil
}

func listenSCTP(port uint16) (net.Listener, error) {
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, syscall.IPPROTO_SCTP)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "sctp")
	defer file.Close()
	if err := syscall.Bind(fd, &syscall.SockaddrInet6{Port: int(port)}); err != nil {
		return nil, err
	}
	if err := syscall.Listen(fd, syscall.SOMAXCONN); err != nil {
		return nil, err
	}
	return net.FileListener(file)
}

// dialSCTP connects from a source address and port; the context's deadline counts.
func dialSCTP(ctx context.Context, from, to netip.AddrPort) (net.Conn, error) {
	family := syscall.AF_INET
	if to.Addr().Is6() {
		family = syscall.AF_INET6
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, syscall.IPPROTO_SCTP)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "sctp")
	defer file.Close()
	if deadline, ok := ctx.Deadline(); ok {
		patience := syscall.NsecToTimeval(int64(time.Until(deadline)))
		if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &patience); err != nil {
			return nil, err
		}
	}
	if err := syscall.Bind(fd, sockaddr(from)); err != nil {
		return nil, err
	}
	switch err := syscall.Connect(fd, sockaddr(to)); err {
	case nil:
		return net.FileConn(file)
	case syscall.EINPROGRESS, syscall.EAGAIN:
		return nil, os.ErrDeadlineExceeded
	default:
		return nil, err
	}
}

func sockaddr(a netip.AddrPort) syscall.Sockaddr {
	if a.Addr().Is4() {
		return &syscall.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &syscall.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
