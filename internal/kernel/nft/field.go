package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// verdictType is the data type of verdict maps (NFT_DATA_VERDICT).
const verdictType = 0xffffff00

// The data types of nft(8) (its include/datatype.h, enum datatypes); the kernel only stores them.
const (
	typeInteger     = 4
	typeIPv4        = 7
	typeIPv6        = 8
	typeInetProto   = 12
	typeInetService = 13
	// typeBits is how far the types of a concatenation's parts are shifted.
	typeBits = 6
)

// Field is one part of a set's key or data.
type Field struct {
	typ    uint32
	length int    // bytes, before padding to four
	typeOf []byte // for nft(8): the expression that has this type, as userdata
}

// The fields that keys and data are made of. Each takes a multiple of four bytes in a key, at the start of which it is.
func fields(f Family) (saddr, daddr Field) {
	if f == IPv6 {
		return Field{typeIPv6, 16, payloadTypeOf(13, 8)}, Field{typeIPv6, 16, payloadTypeOf(13, 9)}
	}
	return Field{typeIPv4, 4, payloadTypeOf(12, 11)}, Field{typeIPv4, 4, payloadTypeOf(12, 12)}
}

// SourceAddress is an address of the family, shown as that of a packet's source.
func SourceAddress(f Family) Field { s, _ := fields(f); return s }

// DestinationAddress is an address of the family, shown as that of a packet's destination.
func DestinationAddress(f Family) Field { _, d := fields(f); return d }

// Protocol is an IP protocol number in the first of four bytes.
func Protocol() Field { return Field{typeInetProto, 1, metaTypeOf(unix.NFT_META_L4PROTO)} }

// Port is a transport port in network byte order in the first two of four bytes.
func Port() Field { return Field{typeInetService, 2, payloadTypeOf(11, 2)} }

// Number is an integer in the byte order of the machine, as numgen yields it.
func Number() Field { return Field{typeInteger, 4, numgenTypeOf()} }

// NewSet returns a set whose key is the concatenation of parts.
func NewSet(name, comment string, parts ...Field) Set {
	s := Set{Name: name, keyParts: parts}
	s.KeyType, s.KeyLen = layout(parts)
	s.Userdata = string(setUserdata(&s, comment))
	return s
}

// NewMap returns a map from the concatenation of key to that of data.
func NewMap(name, comment string, key, data []Field) Set {
	s := Set{Name: name, Flags: unix.NFT_SET_MAP, keyParts: key, values: data}
	s.KeyType, s.KeyLen = layout(key)
	s.DataType, s.DataLen = layout(data)
	s.Userdata = string(setUserdata(&s, comment))
	return s
}

// NewVerdictMap returns a map from the concatenation of parts to verdicts.
func NewVerdictMap(name, comment string, parts ...Field) Set {
	s := NewSet(name, comment, parts...)
	s.Flags, s.DataType = unix.NFT_SET_MAP, verdictType
	return s
}

// layout returns the type and length in bytes of a concatenation.
func layout(parts []Field) (typ, length uint32) {
	for _, p := range parts {
		typ = typ<<typeBits | p.typ
		length += uint32(p.length+3) &^ 3
	}
	return typ, length
}

// FormatKey returns a key, or data, of a concatenated type as nft(8) prints it.
func FormatKey(typ uint32, key []byte) string {
	var types []uint32
	for ; typ != 0; typ >>= typeBits {
		types = append([]uint32{typ & (1<<typeBits - 1)}, types...)
	}
	var text []string
	for _, t := range types {
		length := 4
		if t == typeIPv6 {
			length = 16
		}
		if len(key) < length {
			return fmt.Sprintf("%s (cut short)", strings.Join(text, " . "))
		}
		text = append(text, formatPart(t, key[:length]))
		key = key[length:]
	}
	return strings.Join(text, " . ")
}

func formatPart(typ uint32, part []byte) string {
	switch typ {
	case typeIPv4, typeIPv6:
		addr, _ := netip.AddrFromSlice(part)
		return addr.String()
	case typeInetProto:
		return protocolName(part[0])
	case typeInetService:
		return strconv.Itoa(int(binary.BigEndian.Uint16(part)))
	}
	return strconv.FormatUint(uint64(binary.NativeEndian.Uint32(part)), 10)
}

func protocolName(p byte) string {
	switch p {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_SCTP:
		return "sctp"
	}
	return strconv.Itoa(int(p))
}

// NewDynamicMap returns a map that rules update: an element stays for timeout after its last update, unless the update
// says another time, and no more than size elements are kept.
func NewDynamicMap(name, comment string, key, data []Field, size uint32, timeout time.Duration) Set {
	s := NewMap(name, comment, key, data)
	s.Flags |= unix.NFT_SET_TIMEOUT | unix.NFT_SET_EVAL
	s.Size, s.Timeout = size, timeout
	return s
}
