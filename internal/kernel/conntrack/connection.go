package conntrack

import "github.com/switchyard-net/switchyard/internal/model"

// Connection is a tracked connection as it was when the kernel was asked.
type Connection struct {
	Flow
	Protocol model.Protocol
	Status   Status
	// TCPState is 0 for other protocols.
	TCPState TCPState
	// Reply counts what came back, headers from IP upwards included; zero where net.netfilter.nf_conntrack_acct was off
	// when the connection began.
	Reply Traffic
}

// Traffic counts packets of one direction and their bytes.
type Traffic struct{ Packets, Bytes uint64 }

// Translated reports whether another address answers than the client sent to: by a rule for network address translation,
// or by IPVS.
func (c Connection) Translated() bool { return c.ReplySource != c.Destination }

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
	LastACK  TCPState = 6 // both sides have sent a FIN
	TimeWait TCPState = 7 // and both were acknowledged
)
