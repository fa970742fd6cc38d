// Package conntrack reads and deletes entries of the kernel's connection tracking table, over ctnetlink
// (linux/netfilter/nfnetlink_conntrack.h).
//
// UDP flows are listed and deleted: a datagram flow outlives its endpoint for as long as its client goes on sending. Of
// all connections, Events tells when they begin, Table.Lookup how one of them fares, and Table.Marked those of a mark.
package conntrack

import "net/netip"

// Flow is one tracked flow. Its identity is the original tuple, the zone and the id together.
type Flow struct {
	// Source and Destination are those of the first packet, before any translation.
	Source, Destination netip.AddrPort
	// ReplySource and ReplyDestination are those of the replies as they arrive; ReplySource is who really answers.
	ReplySource, ReplyDestination netip.AddrPort
	// Zone is the conntrack zone; 0 is the default one.
	Zone uint16
	// ID tells the flow from a later one with the same tuple (CTA_ID).
	ID uint32
}
