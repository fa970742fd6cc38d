package relay

import (
	"encoding/binary"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// answerer sends datagrams from addresses and ports that no socket of ours is bound to: they are those that clients sent
// to, and may be other processes' to bind. It writes the UDP header, and the kernel the rest (raw(7)).
type answerer struct{ v4, v6 int }

func newAnswerer() answerer { return answerer{-1, -1} }

// udpHeader is the length of a UDP header (RFC 768).
const udpHeader = 8

// open returns the socket of a family, which is made when it is first needed. mark is that of its packets.
func (a *answerer) open(six bool, mark uint32) (int, error) {
	fd, loopback := &a.v4, netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if six {
		fd, loopback = &a.v6, netip.IPv6Loopback()
	}
	if *fd >= 0 {
		return *fd, nil
	}
	n, err := unix.Socket(familyOf(loopback), unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := setUpAnswers(n, loopback, mark); err != nil {
		closeFD(n)
		return -1, os.NewSyscallError("setsockopt", err)
	}
	*fd = n
	return n, nil
}

func setUpAnswers(fd int, loopback netip.Addr, mark uint32) error {
	if err := setTransparent(fd, loopback); err != nil {
		return err
	}
	if loopback.Is6() {
		const checksumAt = 6
		if err := setInt(fd, unix.SOL_RAW, unix.IPV6_CHECKSUM, checksumAt); err != nil {
			return err
		}
	}
	if err := setInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
		return err
	}
	// It would be given a copy of every datagram to the host otherwise.
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	program := unix.SockFprog{Len: 1, Filter: &nothing[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return err
	}
	return bind(fd, netip.AddrPortFrom(loopback, 0))
}

func (a *answerer) close() {
	for _, fd := range []int{a.v4, a.v6} {
		if fd >= 0 {
			closeFD(fd)
		}
	}
}

// send sends what is in buf after room for a header.
func (a *answerer) send(buf []byte, from, to netip.AddrPort, mark uint32) error {
	six := from.Addr().Is6()
	fd, err := a.open(six, mark)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(buf[0:], from.Port())
	binary.BigEndian.PutUint16(buf[2:], to.Port())
	binary.BigEndian.PutUint16(buf[4:], uint16(len(buf)))
	binary.BigEndian.PutUint16(buf[6:], 0)
	var control [40]byte
	n := 0
	if six {
		n = control6(control[:], from.Addr())
	} else {
		binary.BigEndian.PutUint16(buf[6:], checksum(buf, from.Addr(), to.Addr()))
		n = control4(control[:], from.Addr())
	}
	name := toSockaddr(netip.AddrPortFrom(to.Addr(), 0))
	vector := unix.Iovec{Base: &buf[0], Len: uint64(len(buf))}
	message := unix.Msghdr{
		Name: &name.raw[0], Namelen: name.len, Iov: &vector, Iovlen: 1, Control: &control[0], Controllen: uint64(n),
	}
	_, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&message)), unix.MSG_NOSIGNAL)
	return errnoOf(e)
}

// control4 writes a control message that says which address a packet is from (IP_PKTINFO), and returns its length.
func control4(b []byte, from netip.Addr) int {
	head := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	head.Level, head.Type = unix.SOL_IP, unix.IP_PKTINFO
	head.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	addr := from.As4()
	copy(b[unix.CmsgLen(0)+4:], addr[:]) // after the interface's index
	return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
}

func control6(b []byte, from netip.Addr) int {
	head := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	head.Level, head.Type = unix.SOL_IPV6, unix.IPV6_PKTINFO
	head.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	addr := from.As16()
	copy(b[unix.CmsgLen(0):], addr[:])
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}

// checksum returns that of a UDP datagram over IPv4, whose own field is zero (RFC 768).
func checksum(datagram []byte, from, to netip.Addr) uint16 {
	a, b := from.As4(), to.As4()
	sum := uint64(binary.BigEndian.Uint32(a[:])) + uint64(binary.BigEndian.Uint32(b[:])) + unix.IPPROTO_UDP + uint64(len(datagram))
	rest := datagram
	for ; len(rest) >= 4; rest = rest[4:] {
		sum += uint64(binary.BigEndian.Uint32(rest))
	}
	var last [4]byte
	copy(last[:], rest)
	sum += uint64(binary.BigEndian.Uint32(last[:]))
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum == 0xffff {
		return 0xffff // 0 would mean that there is no checksum
	}
	return ^uint16(sum)
}
