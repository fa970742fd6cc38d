package relay

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is a struct sockaddr_in or sockaddr_in6, without an allocation.
type sockaddr struct {
	raw [unix.SizeofSockaddrInet6]byte
	len uint32
}

func toSockaddr(a netip.AddrPort) (s sockaddr) {
	binary.BigEndian.PutUint16(s.raw[2:], a.Port())
	if addr := a.Addr(); addr.Is4() {
		binary.NativeEndian.PutUint16(s.raw[:], unix.AF_INET)
		b := addr.As4()
		copy(s.raw[4:], b[:])
		s.len = unix.SizeofSockaddrInet4
	} else {
		binary.NativeEndian.PutUint16(s.raw[:], unix.AF_INET6)
		b := addr.As16()
		copy(s.raw[8:], b[:])
		s.len = unix.SizeofSockaddrInet6
	}
	return s
}

// addrPort reads a struct sockaddr; what is neither of IPv4 nor of IPv6 is the zero AddrPort.
func addrPort(raw []byte) netip.AddrPort {
	if len(raw) < unix.SizeofSockaddrInet4 {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(raw[2:])
	switch family := binary.NativeEndian.Uint16(raw); {
	case family == unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[4:8])), port)
	case family == unix.AF_INET6 && len(raw) >= unix.SizeofSockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(raw[8:24])).Unmap(), port)
	}
	return netip.AddrPort{}
}

func (s *sockaddr) addrPort() netip.AddrPort { return addrPort(s.raw[:min(int(s.len), len(s.raw))]) }

func errnoOf(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// The system calls below do not block, so the scheduler is not told of them.

// accept takes a connection off a listener, with the client's address.
func accept(listener int) (fd int, from netip.AddrPort, errno unix.Errno) {
	s := sockaddr{len: unix.SizeofSockaddrInet6}
	n, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&s.raw[0])), uintptr(unsafe.Pointer(&s.len)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int(n), s.addrPort(), e
}

// localAddr returns the address that a socket is bound to: of a connection that was handed over, the one that the
// client connected to.
func localAddr(fd int) (netip.AddrPort, error) {
	s := sockaddr{len: unix.SizeofSockaddrInet6}
	_, _, e := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&s.raw[0])), uintptr(unsafe.Pointer(&s.len)))
	return s.addrPort(), errnoOf(e)
}

func connect(fd int, to netip.AddrPort) unix.Errno {
	s := toSockaddr(to)
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&s.raw[0])), uintptr(s.len))
	return e
}

func bind(fd int, to netip.AddrPort) error {
	s := toSockaddr(to)
	_, _, e := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&s.raw[0])), uintptr(s.len))
	return errnoOf(e)
}

func setInt(fd, level, option, value int) error {
	v := int32(value)
	_, _, e := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&v)), 4, 0)
	return errnoOf(e)
}

func read(fd int, buf []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0, 0, 0)
	return int(n), e
}

func write(fd int, buf []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)),
		unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

// splice moves up to length bytes from a socket to a pipe or the other way, without waiting.
func splice(from, to, length int) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(length),
		unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	return int(n), e
}

func closeFD(fd int) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func shutdownWrite(fd int) { unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0) }

// reset makes the close of a socket tell its peer that the connection was cut.
func reset(fd int) {
	// If that fails, the peer sees an ordinary end.
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// socketError returns and clears what went wrong with a socket, such as a refused connection.
func socketError(fd int) error {
	e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	return errnoOf(unix.Errno(e))
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// setTransparent lets a socket have an address that is none of this host's. It needs CAP_NET_ADMIN.
func setTransparent(fd int, a netip.Addr) error {
	if a.Is4() {
		return setInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
	}
	return setInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
}

// openTo returns a socket that is being connected to a target: EINPROGRESS is not an error here.
func openTo(t Target, kind int) (fd int, err error) {
	family := familyOf(t.Endpoint.Addr())
	n, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), uintptr(kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC), 0)
	if e != 0 {
		return -1, e
	}
	fd = int(n)
	if err = prepare(fd, t, kind); err == nil {
		if errno := connect(fd, t.Endpoint); errno != 0 && errno != unix.EINPROGRESS {
			err = errno
		}
	}
	if err != nil {
		closeFD(fd)
		return -1, err
	}
	return fd, nil
}

func prepare(fd int, t Target, kind int) error {
	if kind == unix.SOCK_STREAM {
		if err := setInt(fd, unix.SOL_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
	}
	if !t.Source.IsValid() {
		return nil
	}
	if err := setTransparent(fd, t.Source); err != nil {
		return err
	}
	// The port is chosen when the destination is known, so that the same one serves many destinations.
	if err := setInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	return bind(fd, netip.AddrPortFrom(t.Source, 0))
}
