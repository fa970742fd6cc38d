package nft

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Expr is one expression of a rule: an instruction of the kernel's virtual machine, by the kernel's name for it.
type Expr struct {
	Name  string
	Attrs []Attr
}

// Attr is an attribute of an expression. Nested attributes are encoded in Data.
type Attr struct {
	Type uint16 // may carry NLA_F_NESTED
	Data []byte
}

// A register is where expressions leave values of four bytes for one another; values that are longer, and
// concatenations, take several in a row. The packet's verdict is in VerdictRegister.
//
// nft(8) prints a concatenation only if its parts are in consecutive registers from one of its 16-byte registers on.
const (
	VerdictRegister uint32 = 0
	firstRegister   uint32 = unix.NFT_REG32_00
	// Registers is how many there are.
	Registers = 16
)

// register returns the kernel's number of the i-th register. nft(8) writes those that begin one of its 16-byte registers
// by that one's number, and the kernel gives them back so.
func register(i uint32) uint32 {
	if i%4 == 0 {
		return unix.NFT_REG_1 + i/4
	}
	return firstRegister + i
}

func num(typ uint16, v uint32) Attr {
	return Attr{typ, binary.BigEndian.AppendUint32(nil, v)}
}

func str(typ uint16, s string) Attr { return Attr{typ, append([]byte(s), 0)} }

// value returns an attribute that holds data for a register.
func value(typ uint16, data []byte) Attr {
	w := writer{}
	w.bytes(unix.NFTA_DATA_VALUE, data)
	return Attr{typ | unix.NLA_F_NESTED, w.buf}
}

// payload loads length bytes of the packet into registers from reg on. Base is one of NFT_PAYLOAD_*_HEADER.
func payload(base, offset, length, reg uint32) Expr {
	return Expr{"payload", []Attr{
		num(unix.NFTA_PAYLOAD_DREG, register(reg)), num(unix.NFTA_PAYLOAD_BASE, base),
		num(unix.NFTA_PAYLOAD_OFFSET, offset), num(unix.NFTA_PAYLOAD_LEN, length),
	}}
}

// addressOffsets returns where the addresses are in the header, and how long they are.
func addressOffsets(f Family) (source, destination, length uint32) {
	if f == IPv6 {
		return 8, 24, 16
	}
	return 12, 16, 4
}

// LoadSource loads the packet's source address.
func LoadSource(f Family, reg uint32) Expr {
	offset, _, length := addressOffsets(f)
	return payload(unix.NFT_PAYLOAD_NETWORK_HEADER, offset, length, reg)
}

// LoadDestination loads the packet's destination address.
func LoadDestination(f Family, reg uint32) Expr {
	_, offset, length := addressOffsets(f)
	return payload(unix.NFT_PAYLOAD_NETWORK_HEADER, offset, length, reg)
}

// LoadPort loads the destination port of TCP, UDP or SCTP.
func LoadPort(reg uint32) Expr {
	return payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg)
}

func loadMeta(key, reg uint32) Expr {
	return Expr{"meta", []Attr{num(unix.NFTA_META_KEY, key), num(unix.NFTA_META_DREG, register(reg))}}
}

// LoadProtocol loads the number of the transport protocol.
func LoadProtocol(reg uint32) Expr { return loadMeta(unix.NFT_META_L4PROTO, reg) }

// LoadMark loads the packet mark.
func LoadMark(reg uint32) Expr { return loadMeta(unix.NFT_META_MARK, reg) }

// LoadInterface loads the name of the interface that the packet came in on, 16 bytes.
func LoadInterface(reg uint32) Expr { return loadMeta(unix.NFT_META_IIFNAME, reg) }

// SetMark sets the packet mark.
func SetMark(reg uint32) Expr {
	return Expr{"meta", []Attr{num(unix.NFTA_META_KEY, unix.NFT_META_MARK), num(unix.NFTA_META_SREG, register(reg))}}
}

// LoadState loads the connection's state bits, those of InvalidState.
func LoadState(reg uint32) Expr { return loadConntrack(unix.NFT_CT_STATE, reg) }

// LoadStatus loads the connection's status bits, such as TranslatedStatus.
func LoadStatus(reg uint32) Expr { return loadConntrack(unix.NFT_CT_STATUS, reg) }

// Bits of the connection (linux/netfilter/nf_conntrack_common.h).
const (
	InvalidState     uint32 = 1
	TranslatedStatus uint32 = 1 << 5 // IPS_DST_NAT
)

func loadConntrack(key, reg uint32) Expr {
	return Expr{"ct", []Attr{num(unix.NFTA_CT_KEY, key), num(unix.NFTA_CT_DREG, register(reg))}}
}

// LoadOriginalDestination loads the address that the connection was opened to, before translation.
func LoadOriginalDestination(f Family, reg uint32) Expr {
	key := uint32(unix.NFT_CT_DST_IP)
	if f == IPv6 {
		key = unix.NFT_CT_DST_IP6
	}
	return original(loadConntrack(key, reg))
}

// LoadOriginalPort loads the port that the connection was opened to, before translation.
func LoadOriginalPort(reg uint32) Expr { return original(loadConntrack(unix.NFT_CT_PROTO_DST, reg)) }

func original(e Expr) Expr {
	const directionOriginal = 0 // IP_CT_DIR_ORIGINAL
	e.Attrs = append(e.Attrs, Attr{unix.NFTA_CT_DIRECTION, []byte{directionOriginal}})
	return e
}

// Random yields offset plus a random number below modulus; with a modulus of 1 it is a constant.
func Random(modulus, offset, reg uint32) Expr {
	return Expr{"numgen", []Attr{
		num(unix.NFTA_NG_DREG, register(reg)), num(unix.NFTA_NG_MODULUS, modulus),
		num(unix.NFTA_NG_TYPE, unix.NFT_NG_RANDOM), num(unix.NFTA_NG_OFFSET, offset),
	}}
}

// LoadSourceType loads what the routing table makes of the source address, such as LocalType.
func LoadSourceType(reg uint32) Expr { return fib(unix.NFTA_FIB_F_SADDR, reg) }

// LoadDestinationType loads what the routing table makes of the destination address.
func LoadDestinationType(reg uint32) Expr { return fib(unix.NFTA_FIB_F_DADDR, reg) }

// LocalType is the address type of the node's own addresses (RTN_LOCAL), in the machine's byte order.
func LocalType() []byte { return binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL) }

func fib(flags, reg uint32) Expr {
	return Expr{"fib", []Attr{
		num(unix.NFTA_FIB_DREG, register(reg)), num(unix.NFTA_FIB_RESULT, unix.NFT_FIB_RESULT_ADDRTYPE),
		num(unix.NFTA_FIB_FLAGS, flags),
	}}
}

func compare(op, reg uint32, data []byte) Expr {
	return Expr{"cmp", []Attr{
		num(unix.NFTA_CMP_SREG, register(reg)), num(unix.NFTA_CMP_OP, op), value(unix.NFTA_CMP_DATA, data),
	}}
}

// Equal goes on only if the registers hold data.
func Equal(reg uint32, data []byte) Expr { return compare(unix.NFT_CMP_EQ, reg, data) }

// NotEqual goes on only if the registers do not hold data.
func NotEqual(reg uint32, data []byte) Expr { return compare(unix.NFT_CMP_NEQ, reg, data) }

// Bitwise computes (registers & mask) ^ xor, over the length of mask.
func Bitwise(reg uint32, mask, xor []byte) Expr {
	return Expr{"bitwise", []Attr{
		num(unix.NFTA_BITWISE_SREG, register(reg)), num(unix.NFTA_BITWISE_DREG, register(reg)),
		num(unix.NFTA_BITWISE_LEN, uint32(len(mask))),
		value(unix.NFTA_BITWISE_MASK, mask), value(unix.NFTA_BITWISE_XOR, xor),
	}}
}

// HasBit goes on only if a bit of the number in a register is set, as `ct status dnat` says.
func HasBit(reg, bit uint32) []Expr {
	zero := make([]byte, 4)
	mask := binary.NativeEndian.AppendUint32(nil, bit)
	return []Expr{Bitwise(reg, mask, zero), NotEqual(reg, zero)}
}

// InPrefix goes on only if the address in the registers is, or with not set is not, in the prefix.
func InPrefix(reg uint32, p netip.Prefix, not bool) []Expr {
	op := uint32(unix.NFT_CMP_EQ)
	if not {
		op = unix.NFT_CMP_NEQ
	}
	addr := p.Masked().Addr().AsSlice()
	if p.IsSingleIP() {
		return []Expr{compare(op, reg, addr)}
	}
	mask := make([]byte, len(addr))
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return []Expr{Bitwise(reg, mask, make([]byte, len(addr))), compare(op, reg, addr)}
}

// Lookup goes on only if the registers are a key of the set.
func Lookup(set string, reg uint32) Expr {
	return Expr{"lookup", []Attr{str(unix.NFTA_LOOKUP_SET, set), num(unix.NFTA_LOOKUP_SREG, register(reg))}}
}

// NotLookup goes on only if the registers are not a key of the set.
func NotLookup(set string, reg uint32) Expr {
	e := Lookup(set, reg)
	e.Attrs = append(e.Attrs, num(unix.NFTA_LOOKUP_FLAGS, unix.NFT_LOOKUP_F_INV))
	return e
}

// MapLookup replaces the key in the registers by its data in a map, and goes on only if there is such a key.
func MapLookup(set string, reg uint32) Expr {
	e := Lookup(set, reg)
	e.Attrs = append(e.Attrs, num(unix.NFTA_LOOKUP_DREG, register(reg)))
	return e
}

// VerdictLookup takes the verdict of the key in a verdict map, and goes on if there is no such key.
func VerdictLookup(set string, reg uint32) Expr {
	e := Lookup(set, reg)
	e.Attrs = append(e.Attrs, num(unix.NFTA_LOOKUP_DREG, VerdictRegister))
	return e
}

// Update puts an element into a dynamic map, or gives it a new timeout where it is there; its data then stay.
func Update(set string, key, data uint32, timeout time.Duration) Expr {
	return Expr{"dynset", []Attr{
		num(unix.NFTA_DYNSET_SREG_KEY, register(key)), num(unix.NFTA_DYNSET_OP, unix.NFT_DYNSET_OP_UPDATE),
		str(unix.NFTA_DYNSET_SET_NAME, set), num(unix.NFTA_DYNSET_SREG_DATA, register(data)),
		{unix.NFTA_DYNSET_TIMEOUT, binary.BigEndian.AppendUint64(nil, uint64(timeout.Milliseconds()))},
	}}
}

// Take ends the rule with a verdict.
func Take(v Verdict) Expr {
	w := writer{}
	start := w.begin(unix.NFTA_DATA_VERDICT)
	w.u32(unix.NFTA_VERDICT_CODE, uint32(v.Code))
	if v.Chain != "" {
		w.text(unix.NFTA_VERDICT_CHAIN, v.Chain)
	}
	w.end(start)
	return Expr{"immediate", []Attr{
		num(unix.NFTA_IMMEDIATE_DREG, VerdictRegister),
		{unix.NFTA_IMMEDIATE_DATA | unix.NLA_F_NESTED, w.buf},
	}}
}

// Translate sends the connection to the address in register addr and the port in register port.
func Translate(f Family, addr, port uint32) Expr {
	return Expr{"nat", []Attr{
		num(unix.NFTA_NAT_TYPE, unix.NFT_NAT_DNAT), num(unix.NFTA_NAT_FAMILY, uint32(f)),
		num(unix.NFTA_NAT_REG_ADDR_MIN, register(addr)), num(unix.NFTA_NAT_REG_PROTO_MIN, register(port)),
	}}
}

// Masquerade gives the connection the node's source address, and a source port that is hard to guess and that two
// processors choosing at once do not choose alike (NF_NAT_RANGE_PROTO_RANDOM_FULLY).
func Masquerade() Expr {
	const fullyRandom = 1 << 4
	return Expr{"masq", []Attr{num(unix.NFTA_MASQ_FLAGS, fullyRandom)}}
}

// Reject answers with ICMP port unreachable. In nat chains at prerouting it needs a kernel >= 5.9.
func Reject(f Family) Expr {
	code := byte(3) // ICMP_PORT_UNREACH
	if f == IPv6 {
		code = 4 // ICMPV6_PORT_UNREACH
	}
	return Expr{"reject", []Attr{
		num(unix.NFTA_REJECT_TYPE, unix.NFT_REJECT_ICMP_UNREACH), {unix.NFTA_REJECT_ICMP_CODE, []byte{code}},
	}}
}
