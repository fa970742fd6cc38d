package nft

import "golang.org/x/sys/unix"

// Attributes and keys of the socket expression (linux/netfilter/nf_tables.h), which package unix does not name.
const (
	socketKey         = 1 // NFTA_SOCKET_KEY
	socketDestination = 2 // NFTA_SOCKET_DREG

	socketTransparent = 0 // NFT_SOCKET_TRANSPARENT
	socketWildcard    = 2 // NFT_SOCKET_WILDCARD
)

// LoadSocketWildcard goes on only if a socket of this host would get the packet, and loads 1 if it is bound to no address, else 0,
// in one byte. It knows nothing of TCP connections that are only half there. At prerouting and input; kernel >= 5.11.
func LoadSocketWildcard(reg uint32) Expr { return socket(socketWildcard, reg) }

// LoadSocketTransparent goes on only if a socket of this host would get the packet, that of a TCP connection that is half there
// included, and loads 1 if it takes packets for any address (IP_TRANSPARENT), else 0, in one byte.
func LoadSocketTransparent(reg uint32) Expr { return socket(socketTransparent, reg) }

func socket(key, reg uint32) Expr {
	return Expr{"socket", []Attr{num(socketKey, key), num(socketDestination, register(reg))}}
}

// NoTrack keeps the packet out of connection tracking, and so from all translation. Before conntrack: priority -300, raw.
func NoTrack() Expr { return Expr{Name: "notrack"} }

// LoadSourcePort loads the source port of TCP, UDP or SCTP.
func LoadSourcePort(reg uint32) Expr { return payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, reg) }

// socketText is how nft(8) writes what a socket expression loads.
func socketText(e Expr) string {
	if e.num(socketKey) == socketWildcard {
		return "socket wildcard"
	}
	return "socket transparent"
}
