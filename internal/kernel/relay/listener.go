package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// backlog is how many connections may wait to be accepted; the kernel lowers it to net.core.somaxconn.
const backlog = 4096

// Listener is a socket that clients come by.
type Listener struct {
	fd   int
	udp  bool
	addr netip.AddrPort
}

// ListenOptions say what kind of listener is wanted; the zero value is an ordinary one of TCP.
type ListenOptions struct {
	UDP bool
	// Transparent is for one that gets what packet rules give it, whatever address that was sent to. It needs
	// CAP_NET_ADMIN.
	Transparent bool
	// Shared lets other processes of the same user open the same one: one that starts while another ends.
	Shared bool
}

// Listen opens a listener in the network namespace of the calling thread.
func Listen(addr netip.AddrPort, o ListenOptions) (*Listener, error) {
	kind := unix.SOCK_STREAM
	if o.UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(familyOf(addr.Addr()), kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket for %s: %w", addr, err)
	}
	l := &Listener{fd: fd, udp: o.UDP, addr: addr}
	if err := l.open(o); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", addr, err), l.Close())
	}
	return l, nil
}

func (l *Listener) open(o ListenOptions) error {
	six := l.addr.Addr().Is6()
	if o.Transparent {
		if err := setTransparent(l.fd, l.addr.Addr()); err != nil {
			return fmt.Errorf("make the socket transparent: %w", err)
		}
	}
	if o.Shared {
		if err := setInt(l.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if six {
		if err := setInt(l.fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if l.udp {
		if err := l.openUDP(six); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		return os.NewSyscallError("bind", bind(l.fd, l.addr))
	}
	// All but the first are inherited by the connections.
	for _, o := range [][3]int{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{unix.SOL_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.SOL_TCP, unix.TCP_KEEPIDLE, keepaliveIdle},
		{unix.SOL_TCP, unix.TCP_KEEPINTVL, keepaliveInterval},
	} {
		if err := setInt(l.fd, o[0], o[1], o[2]); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if err := bind(l.fd, l.addr); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return os.NewSyscallError("listen", unix.Listen(l.fd, backlog))
}

// A peer that is gone without a word is noticed after the idle time and nine (net.ipv4.tcp_keepalive_probes) intervals,
// in seconds.
const (
	keepaliveIdle     = 120
	keepaliveInterval = 15
)

func keepAlive(fd int) {
	// Without it, a connection to a server that is gone without a word stays until the client ends it.
	_ = setInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = setInt(fd, unix.SOL_TCP, unix.TCP_KEEPIDLE, keepaliveIdle)
	_ = setInt(fd, unix.SOL_TCP, unix.TCP_KEEPINTVL, keepaliveInterval)
}

func (l *Listener) openUDP(six bool) error {
	if six {
		return setInt(l.fd, unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR, 1)
	}
	return setInt(l.fd, unix.SOL_IP, unix.IP_RECVORIGDSTADDR, 1)
}

// Addr returns the address that the listener is bound to.
func (l *Listener) Addr() netip.AddrPort { return l.addr }

// Close closes the socket. The workers must have left it before.
func (l *Listener) Close() error { return os.NewSyscallError("close", unix.Close(l.fd)) }
