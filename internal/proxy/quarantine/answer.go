package quarantine

import (
	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/model"
)

// answered reports whether the endpoint has answered a connection: not its kernel alone, which accepts connections and
// acknowledges data for a process that is stopped, but somebody who sends data or an end.
func answered(c conntrack.Connection) bool {
	switch {
	case !c.Status.Has(conntrack.SeenReply):
		return false
	case c.Protocol != model.TCP || c.Reply.Packets == 0: // without counters nothing more can be told
		return true
	case c.TCPState == conntrack.LastACK || c.TCPState == conntrack.TimeWait:
		return true
	}
	return c.Reply.Bytes > bare(model.FamilyOf(c.Destination.Addr()), c.Reply.Packets)
}

// bare returns how many bytes so many packets without data have at most, options as usual: 20 bytes in a SYN-ACK, 12 (the
// timestamps of RFC 7323) in the others. Of a peer without timestamps, a few bytes of data go unnoticed, which leads to a
// probe and no further.
func bare(f model.Family, packets uint64) uint64 {
	const tcp, synOptions, options = 20, 20, 12
	ip := uint64(20)
	if f == model.IPv6 {
		ip = 40
	}
	return packets*(ip+tcp+options) + synOptions - options
}
