package loop

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects to a TCP address. Its error is a *net.OpError; os.ErrDeadlineExceeded in it says that the time was over, 0 being
// no limit but the kernel's.
func (t *Task) Dial(addr netip.AddrPort, timeout time.Duration) (*Conn, error) {
	c, err := t.dial(addr, timeout)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(addr), Err: err}
	}
	return c, nil
}

func (t *Task) dial(addr netip.AddrPort, timeout time.Duration) (*Conn, error) {
	fd, err := socket(addr)
	if err != nil {
		return nil, err
	}
	err = unix.Connect(fd, sockaddr(addr))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	c, errAdd := t.loop.newConn(fd, addr)
	if errAdd != nil {
		return nil, errAdd
	}
	if err == nil {
		c.writable = true
		return c, nil
	}
	if err := c.connected(timeout); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// connected waits until the connection is there.
func (c *Conn) connected(timeout time.Duration) error {
	var until time.Duration
	if timeout > 0 {
		until = c.loop.now + timeout
	}
	for !c.writable {
		if !c.loop.wait(&c.out, c.loop.current, until) {
			return os.ErrDeadlineExceeded
		}
	}
	if c.closed {
		return net.ErrClosed
	}
	number, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if number != 0 {
		return os.NewSyscallError("connect", unix.Errno(number))
	}
	return nil
}

// socket returns a TCP socket for the address's family, which does not wait and sends at once.
func socket(addr netip.AddrPort) (int, error) {
	family := unix.AF_INET6
	if addr.Addr().Unmap().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("setsockopt", err)
	}
	return fd, nil
}

func sockaddr(addr netip.AddrPort) unix.Sockaddr {
	if ip := addr.Addr().Unmap(); ip.Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}
	}
	return &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16(), ZoneId: zone(addr.Addr().Zone())}
}

// zone returns the index of an interface, or 0.
func zone(name string) uint32 {
	if name == "" {
		return 0
	}
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return uint32(i.Index)
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		addr := netip.AddrFrom16(sa.Addr).Unmap()
		if addr.IsLinkLocalUnicast() && sa.ZoneId != 0 {
			addr = addr.WithZone(fmt.Sprint(sa.ZoneId))
		}
		return netip.AddrPortFrom(addr, uint16(sa.Port))
	}
	return netip.AddrPort{}
}
