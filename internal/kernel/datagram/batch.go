package datagram

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlSize holds one IPV6_PKTINFO or IP_PKTINFO (ipv6(7), ip(7)), which is all that sockets of this package ask for.
const controlSize = 40

// message is struct mmsghdr (recvmmsg(2)).
type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// Batch is room for packets and their replies. It belongs to one goroutine, and is large: about 400 KiB, of which only
// what has been used takes memory.
type Batch struct {
	in       [Size]message
	inIO     [Size]unix.Iovec
	peer     [Size]unix.RawSockaddrInet6
	control  [Size][controlSize]byte
	requests [Size][MaxRequest]byte
	replies  [Size][MaxReply]byte
	received int // of in
	// pending are the queued replies in the order of the messages that compose makes of them.
	pending  [Size]reply
	queued   int // of pending
	out      [Size]message
	first    [Size + 1]uint8 // of pending, for each message, and the end
	messages int             // of out
	outIO    [Size]unix.Iovec
	segments [Size][segmentControl]byte
}

// reply is the first length bytes of Room(request).
type reply struct {
	request uint8
	length  uint16
}

// NewBatch returns an empty batch.
func NewBatch() *Batch {
	b := &Batch{}
	for i := range Size {
		b.inIO[i].Base = &b.requests[i][0]
		b.inIO[i].SetLen(MaxRequest)
		h := &b.in[i].header
		h.Name = (*byte)(unsafe.Pointer(&b.peer[i]))
		h.Iov = &b.inIO[i]
		h.SetIovlen(1)
		h.Control = &b.control[i][0]
	}
	b.prepare(Size)
	return b
}

// prepare makes the first n messages ready to be received into: the kernel has overwritten their lengths.
func (b *Batch) prepare(n int) {
	for i := range n {
		h := &b.in[i].header
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
		h.Flags = 0
	}
}

// Request returns the i-th packet of the last Read. It is overwritten by the next Read.
func (b *Batch) Request(i int) []byte { return b.requests[i][:b.in[i].length] }

// Cut reports whether the i-th packet was longer than MaxRequest.
func (b *Batch) Cut(i int) bool { return b.in[i].header.Flags&unix.MSG_TRUNC != 0 }

// Room returns the buffer, MaxReply bytes long, in which the reply to the i-th packet is to be written.
func (b *Batch) Room(i int) []byte { return b.replies[i][:] }

// Reply queues the first n bytes of Room(i) to be sent to where the i-th packet came from, by the next Write.
func (b *Batch) Reply(i, n int) {
	if length := b.in[i].header.Controllen; length > 0 {
		freeInterface(b.control[i][:length])
	}
	b.pending[b.queued] = reply{uint8(i), uint16(n)}
	b.queued++
}

// freeInterface clears the interface of a packet info, for the route to decide which one a reply leaves by; only
// link-local addresses mean nothing without it.
func freeInterface(control []byte) {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	data := control[unix.SizeofCmsghdr:]
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO:
		clear(data[:4])
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO:
		if !netip.AddrFrom16([16]byte(data[:16])).IsLinkLocalUnicast() {
			clear(data[16:20])
		}
	}
}

// Peer says where a packet came from and which address it was sent to.
type Peer struct {
	// From is where replies go. An IPv4 client of an IPv6 socket has an IPv4 address here.
	From netip.AddrPort
	// To is the local address; the zero Addr where the socket is bound to one.
	To netip.Addr

	name    unix.RawSockaddrInet6
	nameLen uint32
	control [controlSize]byte
	ctlLen  uint64
}

// Peer returns a copy of where the i-th packet came from.
func (b *Batch) Peer(i int) Peer {
	p := Peer{name: b.peer[i], nameLen: b.in[i].header.Namelen, control: b.control[i], ctlLen: b.in[i].header.Controllen}
	p.From = sourceOf(&p.name)
	if p.ctlLen > 0 {
		p.To = destinationOf(p.control[:])
		freeInterface(p.control[:])
	}
	return p
}

// Source returns the address of the client of the i-th packet.
func (b *Batch) Source(i int) netip.Addr { return sourceOf(&b.peer[i]).Addr() }

// sourceOf decodes a socket address (ip(7), ipv6(7)).
func sourceOf(name *unix.RawSockaddrInet6) netip.AddrPort {
	port := (*[2]byte)(unsafe.Pointer(&name.Port))
	number := uint16(port[0])<<8 | uint16(port[1])
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), number)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), number)
}

// destinationOf decodes the address of a packet info.
func destinationOf(control []byte) netip.Addr {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	data := control[unix.SizeofCmsghdr:]
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO:
		return netip.AddrFrom4([4]byte(data[4:8]))
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO:
		return netip.AddrFrom16([16]byte(data[:16])).Unmap()
	}
	return netip.Addr{}
}
