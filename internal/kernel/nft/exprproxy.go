package nft

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Attributes of the tproxy expression (linux/netfilter/nf_tables.h), which package unix does not name.
const (
	tproxyFamily = 1 // NFTA_TPROXY_FAMILY
	tproxyAddr   = 2 // NFTA_TPROXY_REG_ADDR
	tproxyPort   = 3 // NFTA_TPROXY_REG_PORT
)

// LoadConnectionMark loads the mark of the connection that the packet belongs to.
func LoadConnectionMark(reg uint32) Expr { return loadConntrack(unix.NFT_CT_MARK, reg) }

// SetConnectionMark sets the mark of the connection that the packet belongs to.
func SetConnectionMark(reg uint32) Expr {
	return Expr{"ct", []Attr{num(unix.NFTA_CT_KEY, unix.NFT_CT_MARK), num(unix.NFTA_CT_SREG, register(reg))}}
}

// LoadDirection loads whether the packet goes the way of the connection's first one: OriginalDirection or
// ReplyDirection.
func LoadDirection(reg uint32) Expr { return loadConntrack(unix.NFT_CT_DIRECTION, reg) }

// OriginalDirection is that of packets from who opened the connection (IP_CT_DIR_ORIGINAL).
func OriginalDirection() []byte { return []byte{0} }

// ReplyDirection is the other one (IP_CT_DIR_REPLY).
func ReplyDirection() []byte { return []byte{1} }

// TransparentProxy delivers the packet of a TCP connection or UDP flow to the socket that has it already, or else to the
// one that listens on an address and port, which are put into the registers from reg on. Where there is neither, the
// rule ends. It is for chains of type filter at prerouting only; the packet must be routed to this host besides.
func TransparentProxy(to netip.AddrPort, reg uint32) []Expr {
	family, width := IPv4, uint32(1)
	if to.Addr().Is6() {
		family, width = IPv6, 4
	}
	port := []byte{byte(to.Port() >> 8), byte(to.Port())}
	return []Expr{
		immediate(to.Addr().AsSlice(), reg), immediate(port, reg+width),
		{"tproxy", []Attr{
			num(tproxyFamily, uint32(family)), num(tproxyAddr, register(reg)), num(tproxyPort, register(reg+width)),
		}},
	}
}

func immediate(data []byte, reg uint32) Expr {
	return Expr{"immediate", []Attr{num(unix.NFTA_IMMEDIATE_DREG, register(reg)), value(unix.NFTA_IMMEDIATE_DATA, data)}}
}

// Reset answers a TCP packet with a reset, as the host does if nobody listens.
func Reset() Expr {
	return Expr{"reject", []Attr{num(unix.NFTA_REJECT_TYPE, unix.NFT_REJECT_TCP_RST), {unix.NFTA_REJECT_ICMP_CODE, []byte{0}}}}
}
