package conntrack

import "github.com/switchyard-net/switchyard/internal/model"

// Connection is a tracked connection as it was when the kernel was asked.
type Connection struct {
	Flow
	Protocol model.Protocol
	Status   Status
	// TCPState is 0 for other protocols.
	TCPState TCPState
	// Mark is that which rules have given the connection.
	Mark uint32
	// Reply counts what came back, headers from IP upwards included; zero where net.netfilter.nf_conntrack_acct was off
	// when the connection began.
	Reply Traffic
}

// Traffic counts packets of one direction and their bytes.
type Traffic struct{ Packets, Bytes uint64 }

// Translated reports whether another address answers than the client sent to: by a rule for network address translation,
// or by IPVS.
func (c Connection) Translated() bool { return c.ReplySource != c.Destination }

// Open reports whether its ends may have something to say to each other yet: of TCP, from the first answer until both have
// said that they end, or one has reset it; of other protocols, for as long as it is tracked.
func (c Connection) Open() bool {
	switch c.TCPState {
	case SynSent, LastACK, TimeWait, Closed, SynSentByBoth:
		return false
	}
	return true
}

// Status holds the bits of IPS_… (linux/netfilter/nf_conntrack_common.h) of a connection.
type Status uint32

// SeenReply is set once a packet came back.
const SeenReply Status = 1 << 1

// Has reports whether all bits of s2 are set.
func (s Status) Has(s2 Status) bool { return s&s2 == s2 }

// TCPState is where conntrack thinks a TCP connection is (enum tcp_conntrack, linux/netfilter/nf_conntrack_tcp.h).
type TCPState uint8

// The states of interest.
const (
	SynSent       TCPState = 1 // and not answered yet
	Established   TCPState = 3
	LastACK       TCPState = 6 // both sides have sent a FIN
	TimeWait      TCPState = 7 // and both were acknowledged
	Closed        TCPState = 8 // one side has reset it
	SynSentByBoth TCPState = 9 // at the same time
)
