package relay

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzControl reads arbitrary bytes as the control messages and addresses that the kernel gives: nothing may panic.
func FuzzControl(f *testing.F) {
	message := make([]byte, unix.CmsgSpace(unix.SizeofSockaddrInet4))
	control4(message, netip.MustParseAddr("192.0.2.1"))
	f.Add(message)
	wanted := toSockaddr(netip.MustParseAddrPort("[2001:db8::1]:80"))
	message = make([]byte, unix.CmsgSpace(unix.SizeofSockaddrInet6))
	binary.NativeEndian.PutUint64(message, uint64(unix.CmsgLen(unix.SizeofSockaddrInet6)))
	binary.NativeEndian.PutUint32(message[8:], unix.SOL_IPV6)
	binary.NativeEndian.PutUint32(message[12:], unix.IPV6_ORIGDSTADDR)
	copy(message[unix.CmsgLen(0):], wanted.raw[:])
	f.Add(message)
	if got := originalDestination(message); got != wanted.addrPort() {
		f.Fatalf("read %s; want %s", got, wanted.addrPort())
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = originalDestination(data)
		_ = addrPort(data)
	})
}

// FuzzSockaddr writes addresses as the kernel wants them, and reads them back.
func FuzzSockaddr(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1}, uint16(80))
	f.Add(netip.MustParseAddr("2001:db8::1").AsSlice(), uint16(53))
	f.Fuzz(func(t *testing.T, raw []byte, port uint16) {
		addr, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		want := netip.AddrPortFrom(addr.Unmap(), port)
		s := toSockaddr(want)
		if got := s.addrPort(); got != want {
			t.Errorf("read %s; wrote %s", got, want)
		}
	})
}

// FuzzChecksum checks that a datagram with its checksum sums up to all ones, as its receiver does (RFC 1071).
func FuzzChecksum(f *testing.F) {
	f.Add([]byte("odd"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 65000 {
			return
		}
		from, to := netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("192.0.2.1")
		datagram := append([]byte{0, 80, 1, 2, byte((len(data) + udpHeader) >> 8), byte(len(data) + udpHeader), 0, 0}, data...)
		binary.BigEndian.PutUint16(datagram[6:], checksum(datagram, from, to))
		pseudo := append(append(from.AsSlice(), to.AsSlice()...), 0, unix.IPPROTO_UDP, byte(len(datagram)>>8), byte(len(datagram)))
		sum := uint32(0)
		all := append(append(pseudo, datagram...), make([]byte, len(datagram)%2)...)
		for i := 0; i < len(all); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(all[i:]))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		if sum != 0xffff {
			t.Errorf("%x sums up to %x", datagram, sum)
		}
	})
}
