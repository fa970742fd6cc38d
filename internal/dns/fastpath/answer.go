package fastpath

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
)

// worker answers the packets of one socket.
type worker struct {
	query  query
	random *rand.PCG
}

// answer writes the reply to a packet into room and returns its length; 0: the packet is CoreDNS's. The route is that of a
// reply that was written.
func (w *worker) answer(routes *Routes, packet, room []byte, now time.Time) (int, *route) {
	q := &w.query
	if !q.parse(packet) {
		return 0, nil
	}
	r := routes.find(q.lookupName())
	if r == nil || r.Answers == nil || r.Clamped && q.qtype == typeTXT {
		return 0, nil
	}
	if r.BufferSize != 0 && q.size > r.BufferSize {
		q.size = r.BufferSize
	}
	copy(room, packet[:q.end])
	limit := min(q.limit(), len(room))
	if q.edns {
		limit -= optLen
	}
	msg, reply := r.Answers.Answer(room[:q.end], zone.Question{
		Name: q.lookupName(), Type: q.qtype, Size: limit, Turn: w.turn(r),
	})
	switch {
	case reply.Verdict == zone.Chain:
		if r.Cache != nil && q.cacheable() {
			return w.fromCache(r, room, limit, now), r
		}
		return 0, nil
	case reply.Rcode != 0 && (reply.Rcode != rcodeNameError || r.KeepDenials):
		return 0, nil
	case reply.Truncated && q.limit() > len(room):
		return 0, nil // the client has more room than we
	}
	flags := bitQR | bitAA | q.flags&(bitRD|bitCD) | uint16(reply.Rcode)
	if reply.Truncated {
		flags |= bitTC
	}
	return w.finish(msg, flags, reply.Answers, reply.Authorities, reply.Additionals), r
}

const rcodeNameError = 3

// finish writes the header of a reply whose sections are complete, and the OPT record.
func (w *worker) finish(msg []byte, flags, answers, authorities, additionals uint16) int {
	if w.query.edns {
		msg = w.query.appendOPT(msg)
		additionals++
	}
	binary.BigEndian.PutUint16(msg[2:], flags)
	binary.BigEndian.PutUint16(msg[4:], 1)
	binary.BigEndian.PutUint16(msg[6:], answers)
	binary.BigEndian.PutUint16(msg[8:], authorities)
	binary.BigEndian.PutUint16(msg[10:], additionals)
	return len(msg)
}

// turn returns where the list of addresses begins.
func (w *worker) turn(r *route) uint32 {
	if !r.Rotate {
		return 0
	}
	return uint32(w.random.Uint64())
}
