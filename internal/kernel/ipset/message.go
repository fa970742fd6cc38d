package ipset

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Commands and attributes of linux/netfilter/ipset/ip_set.h.
const (
	protocol = 6 // the lowest that the kernel must speak

	cmdCreate  = 2
	cmdDestroy = 3
	cmdList    = 7
	cmdAdd     = 9
	cmdDelete  = 10

	attrProtocol = 1
	attrName     = 2
	attrType     = 3
	attrRevision = 4
	attrFamily   = 5
	attrData     = 7
	attrElements = 8
	attrLine     = 9

	dataIP      = 1
	dataCIDR    = 3
	dataPort    = 4
	dataProto   = 7
	dataFlags   = 8
	dataMaxElem = 19
	dataPeer    = 20
	dataPeer2   = 21 // the peer's prefix length
	dataMark    = 27

	addrIPv4 = 1
	addrIPv6 = 2

	flagSkbinfo = 1 << 6

	// maxElements bounds a set; memory is taken as elements come.
	maxElements = 1 << 22
)

const (
	headerLen = 16 // struct nlmsghdr
	familyLen = 4  // struct nfgenmsg
	attrLen   = 4  // struct nlattr
)

// errMalformed is returned for messages that are shorter than they say.
var errMalformed = errors.New("malformed netlink message")

// revision returns the oldest revision of a kind that has what a set needs (ip_set_hash_netport.c and the like).
func (s *Set) revision() byte {
	switch {
	case s.Kind == NetPort && s.Marks:
		return 7
	case s.Kind == NetPort:
		return 2 // IPv6 and SCTP, in one dimension
	}
	return 0
}

// writer appends a netlink message to a buffer.
type writer struct{ buf []byte }

// begin starts a message anew.
func (w *writer) begin(cmd uint16, flags uint16, seq uint32, f model.Family, name string) {
	w.buf = append(w.buf[:0], 0, 0, 0, 0)
	w.buf = binary.NativeEndian.AppendUint16(w.buf, unix.NFNL_SUBSYS_IPSET<<8|cmd)
	w.buf = binary.NativeEndian.AppendUint16(w.buf, flags|unix.NLM_F_REQUEST)
	w.buf = binary.NativeEndian.AppendUint32(w.buf, seq)
	w.buf = append(w.buf, 0, 0, 0, 0, addressFamily(f), 0, 0, 0)
	w.bytes(attrProtocol, protocol)
	w.bytes(attrName, append([]byte(name), 0)...)
}

// message ends the message and returns it.
func (w *writer) message() []byte {
	binary.NativeEndian.PutUint32(w.buf, uint32(len(w.buf)))
	return w.buf
}

func (w *writer) nest(typ uint16) (start int) {
	start = len(w.buf)
	w.header(typ|unix.NLA_F_NESTED, 0)
	return start
}

func (w *writer) endNest(start int) {
	binary.NativeEndian.PutUint16(w.buf[start:], uint16(len(w.buf)-start))
}

func (w *writer) header(typ uint16, length int) {
	w.buf = binary.NativeEndian.AppendUint16(w.buf, uint16(attrLen+length))
	w.buf = binary.NativeEndian.AppendUint16(w.buf, typ)
}

func (w *writer) bytes(typ uint16, b ...byte) {
	w.header(typ, len(b))
	w.buf = append(w.buf, b...)
	for len(w.buf)%4 != 0 {
		w.buf = append(w.buf, 0)
	}
}

// net32 and net64 append numbers in network byte order, and say so.
func (w *writer) net32(typ uint16, v uint32) {
	w.header(typ|unix.NLA_F_NET_BYTEORDER, 4)
	w.buf = binary.BigEndian.AppendUint32(w.buf, v)
}

func (w *writer) net64(typ uint16, v uint64) {
	w.header(typ|unix.NLA_F_NET_BYTEORDER, 8)
	w.buf = binary.BigEndian.AppendUint64(w.buf, v)
}

func (w *writer) create(s *Set) {
	w.bytes(attrType, append([]byte(s.Kind), 0)...)
	w.bytes(attrRevision, s.revision())
	w.bytes(attrFamily, addressFamily(s.Family))
	data := w.nest(attrData)
	w.net32(dataMaxElem, maxElements)
	if s.Marks {
		w.net32(dataFlags, flagSkbinfo)
	}
	w.endNest(data)
}

func (w *writer) entry(s *Set, e *Entry) {
	data := w.nest(attrData)
	w.address(dataIP, e.Net.Addr())
	if s.Kind != IP {
		w.bytes(dataCIDR, byte(e.Net.Bits()))
	}
	if s.Kind == NetPort || s.Kind == NetPortNet {
		w.bytes(dataPort|unix.NLA_F_NET_BYTEORDER, byte(e.Port>>8), byte(e.Port))
		w.bytes(dataProto, e.Protocol)
	}
	if s.Kind == NetNet || s.Kind == NetPortNet {
		w.address(dataPeer, e.Peer.Addr())
		w.bytes(dataPeer2, byte(e.Peer.Bits()))
	}
	if s.Marks {
		w.net64(dataMark, uint64(e.Mark)<<32|0xffffffff)
	}
	w.endNest(data)
}

func (w *writer) address(typ uint16, a netip.Addr) {
	nest := w.nest(typ)
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		w.bytes(addrIPv4|unix.NLA_F_NET_BYTEORDER, b[:]...)
	} else {
		b := a.As16()
		w.bytes(addrIPv6|unix.NLA_F_NET_BYTEORDER, b[:]...)
	}
	w.endNest(nest)
}

func addressFamily(f model.Family) byte {
	if f == model.IPv6 {
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}

// attrs calls visit with each attribute in data.
func attrs(data []byte, visit func(typ uint16, value []byte) error) error {
	for len(data) >= attrLen {
		length := int(binary.NativeEndian.Uint16(data))
		if length < attrLen || length > len(data) {
			return errMalformed
		}
		typ := binary.NativeEndian.Uint16(data[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if err := visit(typ, data[attrLen:length]); err != nil {
			return err
		}
		data = data[min((length+3)&^3, len(data)):]
	}
	if len(data) > 0 {
		return errMalformed
	}
	return nil
}

// decode reads a message of a list: what set it is about, which only the first one says in full, and elements.
func decode(body []byte, s *Set, visit func(Entry)) error {
	return attrs(body, func(typ uint16, value []byte) error {
		switch typ {
		case attrType:
			s.Kind = Kind(text(value))
		case attrFamily:
			s.Family = model.IPv4
			if len(value) == 1 && value[0] == unix.NFPROTO_IPV6 {
				s.Family = model.IPv6
			}
		case attrData:
			return attrs(value, func(typ uint16, value []byte) error {
				if typ == dataFlags && len(value) == 4 {
					s.Marks = binary.BigEndian.Uint32(value)&flagSkbinfo != 0
				}
				return nil
			})
		case attrElements:
			return attrs(value, func(_ uint16, value []byte) error {
				e, err := decodeEntry(value)
				if err == nil {
					visit(e)
				}
				return err
			})
		}
		return nil
	})
}

func decodeEntry(data []byte) (Entry, error) {
	var e Entry
	var addr, peer netip.Addr
	bits, peerBits := -1, -1
	err := attrs(data, func(typ uint16, value []byte) (err error) {
		switch {
		case typ == dataIP:
			addr, err = decodeAddress(value)
		case typ == dataPeer:
			peer, err = decodeAddress(value)
		case typ == dataCIDR && len(value) == 1:
			bits = int(value[0])
		case typ == dataPeer2 && len(value) == 1:
			peerBits = int(value[0])
		case typ == dataPort && len(value) == 2:
			e.Port = binary.BigEndian.Uint16(value)
		case typ == dataProto && len(value) == 1:
			e.Protocol = value[0]
		case typ == dataMark && len(value) == 8:
			e.Mark = uint32(binary.BigEndian.Uint64(value) >> 32)
		}
		return err
	})
	e.Net, e.Peer = prefix(addr, bits), prefix(peer, peerBits)
	return e, err
}

// prefix returns a network; one whose length is not said is a single address.
func prefix(a netip.Addr, bits int) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	if bits < 0 {
		bits = a.BitLen()
	}
	return netip.PrefixFrom(a, bits)
}

func decodeAddress(data []byte) (a netip.Addr, err error) {
	err = attrs(data, func(_ uint16, value []byte) error {
		var ok bool
		if a, ok = netip.AddrFromSlice(value); !ok {
			return errMalformed
		}
		return nil
	})
	return a, err
}

func text(value []byte) string {
	for i, c := range value {
		if c == 0 {
			return string(value[:i])
		}
	}
	return string(value)
}
