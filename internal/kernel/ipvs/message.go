package ipvs

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Commands and attributes of linux/ip_vs.h that are not operations.
const (
	cmdGetService     = 4
	cmdGetDestination = 8
	cmdSetConfig      = 12

	attrService     = 1
	attrDestination = 2
	attrTimeoutTCP  = 4
	attrTimeoutFin  = 5
	attrTimeoutUDP  = 6

	svcFamily    = 1
	svcMark      = 5
	svcScheduler = 6
	svcFlags     = 7
	svcTimeout   = 8
	svcNetmask   = 9

	destAddr       = 1
	destPort       = 2
	destMethod     = 3
	destWeight     = 4
	destUpper      = 5
	destLower      = 6
	destActive     = 7
	destInactive   = 8
	destAddrFamily = 11

	flagPersistent = 1
)

const (
	headerLen  = 16 // struct nlmsghdr
	genericLen = 4  // struct genlmsghdr
	attrLen    = 4  // struct nlattr
	version    = 1  // IPVS_GENL_VERSION
)

// errMalformed is returned for messages that are shorter than they say.
var errMalformed = errors.New("malformed netlink message")

// writer appends netlink messages to a buffer.
type writer struct{ buf []byte }

// begin opens a message; end closes it.
func (w *writer) begin(family uint16, flags uint16, seq uint32, cmd uint8) (start int) {
	start = len(w.buf)
	w.buf = binary.NativeEndian.AppendUint32(w.buf, 0)
	w.buf = binary.NativeEndian.AppendUint16(w.buf, family)
	w.buf = binary.NativeEndian.AppendUint16(w.buf, flags|unix.NLM_F_REQUEST)
	w.buf = binary.NativeEndian.AppendUint32(w.buf, seq)
	w.buf = binary.NativeEndian.AppendUint32(w.buf, 0)
	w.buf = append(w.buf, cmd, version, 0, 0)
	return start
}

func (w *writer) end(start int) {
	binary.NativeEndian.PutUint32(w.buf[start:], uint32(len(w.buf)-start))
}

// nest opens an attribute of attributes; endNest closes it.
func (w *writer) nest(typ uint16) (start int) {
	start = len(w.buf)
	w.attr(typ|unix.NLA_F_NESTED, 0)
	return start
}

func (w *writer) endNest(start int) {
	binary.NativeEndian.PutUint16(w.buf[start:], uint16(len(w.buf)-start))
}

func (w *writer) attr(typ uint16, length int) {
	w.buf = binary.NativeEndian.AppendUint16(w.buf, uint16(attrLen+length))
	w.buf = binary.NativeEndian.AppendUint16(w.buf, typ)
}

func (w *writer) u16(typ, v uint16) {
	w.attr(typ, 2)
	w.buf = append(binary.NativeEndian.AppendUint16(w.buf, v), 0, 0)
}

func (w *writer) u32(typ uint16, v uint32) {
	w.attr(typ, 4)
	w.buf = binary.NativeEndian.AppendUint32(w.buf, v)
}

func (w *writer) bytes(typ uint16, b ...byte) {
	w.attr(typ, len(b))
	w.buf = append(w.buf, b...)
	for len(w.buf)%4 != 0 {
		w.buf = append(w.buf, 0)
	}
}

// change appends a change as one message.
func (w *writer) change(family, flags uint16, seq uint32, c *Change) {
	start := w.begin(family, flags, seq, uint8(c.Op))
	w.service(&c.Service, c.Op == AddService || c.Op == SetService)
	if c.ofDestination() {
		w.destination(&c.Destination)
	}
	w.end(start)
}

func (w *writer) service(s *Service, whole bool) {
	nest := w.nest(attrService)
	w.u16(svcFamily, addressFamily(s.Key.Family))
	w.u32(svcMark, s.Key.Mark)
	if whole {
		flags, netmask := uint32(0), uint32(0xffffffff)
		if s.Persistence > 0 {
			flags = flagPersistent
		}
		if s.Key.Family == model.IPv6 {
			netmask = 128 // the length of the prefix that clients share a real server by
		}
		w.bytes(svcScheduler, append([]byte(s.Scheduler), 0)...)
		w.attr(svcFlags, 8)
		w.buf = binary.NativeEndian.AppendUint32(w.buf, flags)
		w.buf = binary.NativeEndian.AppendUint32(w.buf, 0xffffffff)
		w.u32(svcTimeout, seconds(s.Persistence))
		w.u32(svcNetmask, netmask)
	}
	w.endNest(nest)
}

func (w *writer) destination(d *Destination) {
	nest := w.nest(attrDestination)
	addr, port := d.Addr.Addr().Unmap(), d.Addr.Port()
	if addr.Is4() {
		b := addr.As4()
		w.bytes(destAddr, b[:]...)
	} else {
		b := addr.As16()
		w.bytes(destAddr, b[:]...)
	}
	w.bytes(destPort, byte(port>>8), byte(port))
	w.u32(destMethod, 0) // IP_VS_CONN_F_MASQ
	w.u32(destWeight, d.Weight)
	w.u32(destUpper, 0)
	w.u32(destLower, 0)
	w.endNest(nest)
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

func addressFamily(f model.Family) uint16 {
	if f == model.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// attrs calls visit with each attribute in data.
func attrs(data []byte, visit func(typ uint16, value []byte)) error {
	for len(data) >= attrLen {
		length := int(binary.NativeEndian.Uint16(data))
		if length < attrLen || length > len(data) {
			return errMalformed
		}
		visit(binary.NativeEndian.Uint16(data[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), data[attrLen:length])
		data = data[min((length+3)&^3, len(data)):]
	}
	if len(data) > 0 {
		return errMalformed
	}
	return nil
}

// number reads a number in the machine's byte order; one of another length is 0.
func number(value []byte) uint32 {
	switch len(value) {
	case 2:
		return uint32(binary.NativeEndian.Uint16(value))
	case 4:
		return binary.NativeEndian.Uint32(value)
	}
	return 0
}

// decodeService reads a virtual server; false: it is one of an address.
func decodeService(body []byte) (s Service, byMark bool, err error) {
	var flags uint32
	var timeout time.Duration
	err = nested(body, attrService, func(typ uint16, value []byte) {
		switch typ {
		case svcFamily:
			s.Key.Family = model.IPv4
			if number(value) == unix.AF_INET6 {
				s.Key.Family = model.IPv6
			}
		case svcMark:
			s.Key.Mark, byMark = number(value), true
		case svcScheduler:
			s.Scheduler = text(value)
		case svcFlags:
			flags = number(value[:min(4, len(value))])
		case svcTimeout:
			timeout = time.Duration(number(value)) * time.Second
		}
	})
	if flags&flagPersistent != 0 {
		s.Persistence = timeout
	}
	return s, byMark, err
}

// decodeServer reads a real server of a virtual server of family f.
func decodeServer(body []byte, f model.Family) (Server, error) {
	var s Server
	var raw []byte
	var port uint16
	err := nested(body, attrDestination, func(typ uint16, value []byte) {
		switch typ {
		case destAddr:
			raw = value
		case destPort:
			if len(value) == 2 {
				port = binary.BigEndian.Uint16(value)
			}
		case destWeight:
			s.Weight = number(value)
		case destActive, destInactive:
			s.Connections += number(value)
		case destAddrFamily:
			f = model.IPv4
			if number(value) == unix.AF_INET6 {
				f = model.IPv6
			}
		}
	})
	if f == model.IPv4 {
		raw = raw[:min(4, len(raw))]
	}
	addr, ok := netip.AddrFromSlice(raw)
	if err == nil && !ok {
		err = errMalformed
	}
	s.Addr = netip.AddrPortFrom(addr, port)
	return s, err
}

// nested visits the attributes within the one attribute of a type.
func nested(body []byte, outer uint16, visit func(typ uint16, value []byte)) error {
	var inner error
	err := attrs(body, func(typ uint16, value []byte) {
		if typ == outer {
			inner = attrs(value, visit)
		}
	})
	return errors.Join(err, inner)
}

func text(value []byte) string {
	for i, c := range value {
		if c == 0 {
			return string(value[:i])
		}
	}
	return string(value)
}
