package datagram

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Replies to one client are handed to the kernel as one message, which it takes apart as late as it can (UDP_SEGMENT, udp(7), Linux 4.18):
// the way of a packet through the kernel costs more than all else that a small reply does. All segments of a message have one length but
// the last, which may be shorter. So what a resolver asks at once over one socket, A and AAAA, is one message whatever their lengths.
const (
	// largestSegment is what fits any path: a message of longer ones would be refused.
	largestSegment = 1200
	// largestMessage bounds what is sent together, in bytes.
	largestMessage = 60000
	// segmentSize is the length of the control message of UDP_SEGMENT, with its padding; segmentControl holds that of the address too.
	segmentSize    = 24
	segmentControl = controlSize + segmentSize
)

// compose makes messages of the replies from the message number from on; with together, one of several to a client.
func (b *Batch) compose(from int, together bool) {
	at := 0
	if from > 0 {
		at = int(b.first[from])
	}
	b.messages = from
	for at < b.queued {
		end := at + 1
		if together && b.queued > 1 {
			end = b.gather(at)
		}
		b.first[b.messages] = uint8(at)
		b.message(b.messages, at, end)
		b.messages++
		at = end
	}
	b.first[b.messages] = uint8(b.queued)
}

// packets is the number of replies in the messages from one to before another.
func (b *Batch) packets(from, to int) int { return int(b.first[to]) - int(b.first[from]) }

// gather moves replies that can be sent with the one at a place behind it, and returns where they end.
func (b *Batch) gather(at int) int {
	size := b.pending[at].length
	total, end := int(size), at+1
	for i := at + 1; i < b.queued && size <= largestSegment; i++ {
		next := b.pending[i]
		if !b.sameClient(b.pending[at].request, next.request) || total+int(next.length) > largestMessage {
			continue
		}
		if next.length > size {
			if end > at+1 || next.length > largestSegment {
				continue
			}
			next, b.pending[at] = b.pending[at], next // the longer one first
		}
		b.pending[i], b.pending[end] = b.pending[end], next
		total += int(next.length)
		end++
		if next.length != b.pending[at].length {
			break
		}
	}
	return end
}

// sameClient reports whether two packets came from one socket and to one address.
func (b *Batch) sameClient(i, j uint8) bool {
	return b.peer[i].Port == b.peer[j].Port && b.peer[i] == b.peer[j] && b.in[i].header.Controllen == b.in[j].header.Controllen && b.control[i] == b.control[j]
}

// message makes the n-th message of the replies from one to before another.
func (b *Batch) message(n, from, to int) {
	for i := from; i < to; i++ {
		r := b.pending[i]
		b.outIO[i].Base = &b.replies[r.request][0]
		b.outIO[i].SetLen(int(r.length))
	}
	h := &b.out[n].header
	in := &b.in[b.pending[from].request].header
	h.Name, h.Namelen = in.Name, in.Namelen
	h.Iov = &b.outIO[from]
	h.SetIovlen(to - from)
	h.Control, h.Controllen = nil, 0
	if in.Controllen > 0 {
		h.Control, h.Controllen = in.Control, in.Controllen
	}
	if to-from == 1 {
		return
	}
	control := &b.segments[n]
	length := copy(control[:], b.control[b.pending[from].request][:in.Controllen])
	c := (*unix.Cmsghdr)(unsafe.Pointer(&control[length]))
	c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	c.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(control[length+unix.SizeofCmsghdr:], b.pending[from].length)
	h.Control, h.Controllen = &control[0], uint64(length+segmentSize)
}
