package datagram

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Socket is a UDP socket. Read and Write belong to one goroutine; WriteTo and Close may be called from any.
//
// The system calls of Read and Write never wait, so the runtime is not told of them: it would take the processor away from the goroutine
// for those that take longer than 20 us, as one of 64 packets does, and give it back, at a cost of a fifth of all that a loop does. The
// collector may have to wait for one.
type Socket struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	// The state of the call under way. The closures are made once, or each call would allocate.
	reading, writing *Batch
	count, sent      int // packets read; messages sent
	// apart is true if the kernel does not take several packets in one message.
	apart              bool
	errno              syscall.Errno
	readSome, sendSome func(fd uintptr) bool
}

// Listen returns a socket on an address that others may listen on as well. If the address is the unspecified one, replies
// leave from the address that a request was sent to, and the IPv6 one serves both families, as far as the host does.
func Listen(addr netip.AddrPort) (*Socket, error) {
	var failed error
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return errors.Join(c.Control(func(fd uintptr) { failed = prepare(int(fd), addr.Addr()) }), failed)
	}}
	conn, err := config.ListenPacket(context.Background(), "udp", address(addr))
	if err != nil {
		return nil, fmt.Errorf("listen on UDP %s: %w", addr, err)
	}
	s := &Socket{conn: conn.(*net.UDPConn)}
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s.readSome, s.sendSome = s.tryRead, s.trySend
	return s, nil
}

// address returns what makes package net listen on both families, where that is meant.
func address(addr netip.AddrPort) string {
	if addr.Addr() == netip.IPv6Unspecified() {
		return fmt.Sprintf(":%d", addr.Port())
	}
	return addr.String()
}

// receiveBuffer is how much of what has arrived a socket holds, in bytes: some 5,000 small packets, as each counts with what the kernel
// needs for it. The kernel's default, some 270, is less than what arrives while a loop waits for its processor.
const receiveBuffer = 4 << 20

// prepare sets the options of a socket before it is bound.
func prepare(fd int, addr netip.Addr) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return fmt.Errorf("set SO_REUSEPORT: %w", err)
	}
	// Without CAP_NET_ADMIN it is as much as net.core.rmem_max allows.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return fmt.Errorf("set SO_RCVBUF: %w", err)
		}
	}
	if !addr.IsUnspecified() {
		return nil
	}
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return fmt.Errorf("get SO_DOMAIN: %w", err)
	}
	if family == unix.AF_INET {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
}

// LocalAddr returns the address that the socket is bound to.
func (s *Socket) LocalAddr() *net.UDPAddr { return s.conn.LocalAddr().(*net.UDPAddr) }

// Close closes the socket; a Read under way returns net.ErrClosed.
func (s *Socket) Close() error { return s.conn.Close() }

// StopReading makes Read return os.ErrDeadlineExceeded, now and later; the socket still writes.
func (s *Socket) StopReading() error { return s.conn.SetReadDeadline(time.Unix(1, 0)) }

// Waiting reports whether packets wait to be read.
func (s *Socket) Waiting() (bool, error) {
	var bytes int
	var failed error
	err := s.raw.Control(func(fd uintptr) { bytes, failed = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	if err = errors.Join(err, failed); err != nil {
		return false, fmt.Errorf("SIOCINQ: %w", err)
	}
	return bytes > 0, nil
}

// Read waits for packets and returns how many it has put into b: 1 to Size.
func (s *Socket) Read(b *Batch) (int, error) {
	b.prepare(b.received)
	s.reading = b
	if err := s.raw.Read(s.readSome); err != nil {
		return 0, err
	}
	if s.errno != 0 {
		return 0, fmt.Errorf("recvmmsg: %w", s.errno)
	}
	b.received = s.count
	return s.count, nil
}

// tryRead reads what there is; false: nothing.
func (s *Socket) tryRead(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&s.reading.in)), Size, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		s.count, s.errno = int(n), errno
		return true
	}
}

// Write sends the queued replies, those to one client together (see segment.go). A reply that the kernel refuses is lost, as
// datagrams may be, and counted.
func (s *Socket) Write(b *Batch) (lost int, err error) {
	b.compose(0, !s.apart)
	for s.sent = 0; s.sent < b.messages && err == nil; {
		s.writing = b
		if err = s.raw.Write(s.sendSome); err != nil {
			lost += b.packets(s.sent, b.messages)
		} else if s.errno != 0 { // sendmmsg fails only for the first of its messages
			if b.packets(s.sent, s.sent+1) > 1 && (s.errno == unix.EINVAL || s.errno == unix.EIO) {
				s.apart = true
				b.compose(s.sent, false)
				continue
			}
			lost += b.packets(s.sent, s.sent+1)
			s.sent++
		}
	}
	b.queued = 0
	return lost, err
}

// trySend sends as many as the socket takes; false: it is full.
func (s *Socket) trySend(fd uintptr) bool {
	b := s.writing
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.out[s.sent])),
			uintptr(b.messages-s.sent), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case 0:
			s.sent += int(n)
		}
		s.errno = errno
		return true
	}
}

// WriteTo sends one packet to where another came from.
func (s *Socket) WriteTo(packet []byte, to *Peer) error {
	if len(packet) == 0 {
		return errors.New("an empty packet")
	}
	iov := unix.Iovec{Base: &packet[0]}
	iov.SetLen(len(packet))
	header := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&to.name)), Namelen: to.nameLen, Iov: &iov}
	header.SetIovlen(1)
	if to.ctlLen > 0 {
		header.Control, header.Controllen = &to.control[0], to.ctlLen
	}
	var errno syscall.Errno
	err := s.raw.Write(func(fd uintptr) bool {
		for {
			_, _, errno = syscall.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&header)), unix.MSG_DONTWAIT)
			if errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	})
	runtime.KeepAlive(packet)
	if err == nil && errno != 0 {
		err = fmt.Errorf("sendmsg to %s: %w", to.From, errno)
	}
	return err
}

// Steer makes the sockets of this one's address take turns in getting packets, by the CPU that a packet is received on:
// the n that were bound after the first ones do, and those first ones get nothing (SO_ATTACH_REUSEPORT_CBPF, socket(7),
// Linux 4.5). A packet for which no such socket is left goes to any of them, by the hash of its addresses.
func (s *Socket) Steer(first, n int) error {
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtCPUID},
		bpf.ALUOpConstant{Op: bpf.ALUOpMod, Val: uint32(n)},
		bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: uint32(first)},
		bpf.RetA{},
	})
	if err != nil {
		return fmt.Errorf("assemble the program that spreads packets: %w", err)
	}
	filter := make([]unix.SockFilter, len(program))
	for i, p := range program {
		filter[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	var failed error
	err = s.raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
			&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("attach the program that spreads packets: %w", err)
	}
	return nil
}

// Pause lets the calling thread sleep, for shorter than a timer of the runtime could: at least d, and as much more as the thread's timer
// slack (50 us as a rule). The runtime is not told, so d must be short.
func Pause(d time.Duration) {
	ts := unix.NsecToTimespec(d.Nanoseconds())
	_, _, _ = syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0) // a signal may end it sooner
}
