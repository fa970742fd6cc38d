package nft

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

const (
	attrHeader    = 4  // struct nlattr: length and type
	messageHeader = 16 // struct nlmsghdr
	familyHeader  = 4  // struct nfgenmsg: family, version, resource id

	// attrType masks the flags out of an attribute's type.
	attrType = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
)

// errTruncated is returned for a message or attribute that is shorter than its own length says.
var errTruncated = errors.New("truncated netlink message")

// writer appends netlink attributes to a buffer.
type writer struct{ buf []byte }

// begin opens an attribute that holds other attributes; end closes it.
func (w *writer) begin(typ uint16) (start int) {
	start = len(w.buf)
	w.header(0, typ|unix.NLA_F_NESTED)
	return start
}

// end closes the attribute that begin opened at start. Attributes cannot be longer than 64 KiB: callers see to that.
func (w *writer) end(start int) {
	binary.NativeEndian.PutUint16(w.buf[start:], uint16(len(w.buf)-start))
}

func (w *writer) header(length int, typ uint16) {
	w.buf = binary.NativeEndian.AppendUint16(w.buf, uint16(attrHeader+length))
	w.buf = binary.NativeEndian.AppendUint16(w.buf, typ)
}

func (w *writer) bytes(typ uint16, data []byte) {
	w.header(len(data), typ)
	w.buf = append(w.buf, data...)
	w.pad()
}

// text appends a string with its terminating zero.
func (w *writer) text(typ uint16, s string) {
	w.header(len(s)+1, typ)
	w.buf = append(append(w.buf, s...), 0)
	w.pad()
}

func (w *writer) u32(typ uint16, v uint32) {
	w.header(4, typ)
	w.buf = binary.BigEndian.AppendUint32(w.buf, v)
}

func (w *writer) u64(typ uint16, v uint64) {
	w.header(8, typ)
	w.buf = binary.BigEndian.AppendUint64(w.buf, v)
}

// pad aligns the buffer to four bytes, as the next attribute must be.
func (w *writer) pad() {
	for len(w.buf)%4 != 0 {
		w.buf = append(w.buf, 0)
	}
}

// attrs walks over the attributes in data. It stops at the first one that visit returns an error for.
func attrs(data []byte, visit func(typ uint16, value []byte) error) error {
	for len(data) >= attrHeader {
		length := int(binary.NativeEndian.Uint16(data))
		typ := binary.NativeEndian.Uint16(data[2:]) & attrType
		if length < attrHeader || length > len(data) {
			return errTruncated
		}
		if err := visit(typ, data[attrHeader:length]); err != nil {
			return err
		}
		data = data[min((length+3)&^3, len(data)):]
	}
	if len(data) > 0 {
		return errTruncated
	}
	return nil
}

// be32 reads a number of an attribute; an attribute of another length is 0.
func be32(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

func be64(value []byte) uint64 {
	if len(value) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

// cstring reads a string attribute, with or without its terminating zero.
func cstring(value []byte) string {
	for i, c := range value {
		if c == 0 {
			return string(value[:i])
		}
	}
	return string(value)
}

// message is one netlink message of a batch or a dump.
type message struct {
	typ    uint16 // with the subsystem in the upper byte
	flags  uint16
	seq    uint32
	family Family
	body   []byte // attributes, after the nfgenmsg
}

// messages walks over the netlink messages in data.
func messages(data []byte, visit func(m message) error) error {
	for len(data) > 0 {
		if len(data) < messageHeader {
			return errTruncated
		}
		length := int(binary.NativeEndian.Uint32(data))
		if length < messageHeader || length > len(data) {
			return errTruncated
		}
		m := message{
			typ:   binary.NativeEndian.Uint16(data[4:]),
			flags: binary.NativeEndian.Uint16(data[6:]),
			seq:   binary.NativeEndian.Uint32(data[8:]),
			body:  data[messageHeader:length],
		}
		if m.typ >= unix.NLMSG_MIN_TYPE {
			if len(m.body) < familyHeader {
				return errTruncated
			}
			m.family, m.body = Family(m.body[0]), m.body[familyHeader:]
		}
		if err := visit(m); err != nil {
			return err
		}
		data = data[min((length+3)&^3, len(data)):]
	}
	return nil
}
