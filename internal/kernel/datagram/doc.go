// Package datagram reads and writes UDP in batches: one recvmmsg(2) for up to Size packets, and one sendmmsg(2) for their
// replies, without an allocation. Sockets of one address share its packets (SO_REUSEPORT, socket(7)).
package datagram

// Size is the number of packets that one system call reads or writes at most.
const Size = 64

// MaxRequest and MaxReply are the sizes in bytes of the packets that a Batch holds; what is longer arrives cut, and is
// marked so.
const (
	MaxRequest = 1536
	MaxReply   = 4096
)
