package zone

import (
	"encoding/binary"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Record types (IANA registry of DNS parameters).
const (
	typeA     = 1
	typeNS    = 2
	typeCNAME = 5
	typeSOA   = 6
	typePTR   = 12
	typeTXT   = 16
	typeAAAA  = 28
	typeSRV   = 33
	typeIXFR  = 251
	typeAXFR  = 252
)

const (
	classIN = 1
	// questionAt is where the name of the question begins in a message: behind the header.
	questionAt = 12
	// pointer marks a compressed name; its other 14 bits are an offset in the message (RFC 1035, 4.1.4).
	pointer      = 0xc000
	pointerLimit = 1 << 14
	pointerSize  = 2
	// fixedSize is the length of type, class, TTL and length of the data of a record.
	fixedSize = 10
)

// writer appends records to a message, as long as they fit.
type writer struct {
	msg       []byte
	size      int
	ttl       uint32
	truncated bool
}

// fits reports whether n more bytes fit; from the first time that they do not, nothing does.
func (w *writer) fits(n int) bool {
	if len(w.msg)+n > w.size {
		w.truncated = true
	}
	return !w.truncated
}

// asked is the owner of most records: the name that was asked for.
const asked = questionAt

// pointTo appends a name that occurs in the message at an offset.
func (w *writer) pointTo(at int) {
	w.msg = binary.BigEndian.AppendUint16(w.msg, uint16(pointer|at))
}

// fixed appends what follows the owner of a record, but its data.
func (w *writer) fixed(kind uint16, ttl uint32, length int) {
	w.msg = binary.BigEndian.AppendUint16(w.msg, kind)
	w.msg = binary.BigEndian.AppendUint16(w.msg, classIN)
	w.msg = binary.BigEndian.AppendUint32(w.msg, ttl)
	w.msg = binary.BigEndian.AppendUint16(w.msg, uint16(length))
}

// typeOf returns the type of record for an address.
func typeOf(a netip.Addr) uint16 {
	if a.Is4() {
		return typeA
	}
	return typeAAAA
}

// address appends the data of an A or AAAA record.
func (w *writer) address(a netip.Addr) {
	w.fixed(typeOf(a), w.ttl, a.BitLen()/8)
	if a.Is4() {
		b := a.As4()
		w.msg = append(w.msg, b[:]...)
		return
	}
	b := a.As16()
	w.msg = append(w.msg, b[:]...)
}

// addressAt appends the A or AAAA record of an owner that occurs in the message at an offset.
func (w *writer) addressAt(owner int, a netip.Addr) bool {
	if !w.fits(pointerSize + fixedSize + a.BitLen()/8) {
		return false
	}
	if !a.Is4() {
		w.pointTo(owner)
		w.address(a)
		return true
	}
	// Most records are of this kind: one step instead of six.
	var b [pointerSize + fixedSize + 4]byte
	binary.BigEndian.PutUint16(b[0:], uint16(pointer|owner))
	binary.BigEndian.PutUint16(b[2:], typeA)
	binary.BigEndian.PutUint16(b[4:], classIN)
	binary.BigEndian.PutUint32(b[6:], w.ttl)
	b[11] = 4
	*(*[4]byte)(b[12:]) = a.As4()
	w.msg = append(w.msg, b[:]...)
	return true
}

// target is a name in full: that of an endpoint (may be empty), a Service, svc and the zone.
type target struct {
	endpoint []byte
	service  model.Ref
	zone     []byte // in wire format
}

// length returns the length in wire format; a name longer than maxName cannot be written.
func (t *target) length() int {
	n := len(t.service.Name) + len(t.service.Namespace) + 2 + 1 + len(labelSvc) + len(t.zone)
	if len(t.endpoint) > 0 {
		n += 1 + len(t.endpoint)
	}
	return n
}

func (t *target) append(b []byte) []byte {
	if len(t.endpoint) > 0 {
		b = append(append(b, byte(len(t.endpoint))), t.endpoint...)
	}
	b = appendKey(b, t.service)
	return append(append(append(b, byte(len(labelSvc))), labelSvc...), t.zone...)
}

// srv appends an SRV record for the name that was asked for. Its target is not compressed (RFC 2782). A target that is
// too long for a name is passed over.
func (w *writer) srv(weight, port uint16, t *target) bool {
	n := t.length()
	if n > maxName {
		return false
	}
	if !w.fits(pointerSize + fixedSize + srvFixed + n) {
		return false
	}
	w.pointTo(asked)
	w.fixed(typeSRV, w.ttl, srvFixed+n)
	w.msg = binary.BigEndian.AppendUint16(w.msg, 0) // priority
	w.msg = binary.BigEndian.AppendUint16(w.msg, weight)
	w.msg = binary.BigEndian.AppendUint16(w.msg, port)
	w.msg = t.append(w.msg)
	return true
}

// srvFixed is the length of priority, weight and port.
const srvFixed = 6

// pointsTo appends a record for the name that was asked for, whose data is a name.
func (w *writer) pointsTo(kind uint16, t *target) bool {
	n := t.length()
	if n > maxName {
		return false
	}
	if !w.fits(pointerSize + fixedSize + n) {
		return false
	}
	w.pointTo(asked)
	w.fixed(kind, w.ttl, n)
	w.msg = t.append(w.msg)
	return true
}

// wire appends a record for the name that was asked for, whose data is given.
func (w *writer) wire(kind uint16, ttl uint32, data string) bool {
	if !w.fits(pointerSize + fixedSize + len(data)) {
		return false
	}
	w.pointTo(asked)
	w.fixed(kind, ttl, len(data))
	w.msg = append(w.msg, data...)
	return true
}

// Timers of the SOA record in seconds, as in CoreDNS, and the longest TTL of the record itself.
const (
	soaRefresh = 7200
	soaRetry   = 1800
	soaExpire  = 86400
	soaTTL     = 300
)

const (
	soaHostmaster = "\x0ahostmaster"
	soaNumbers    = 5 * 4
)

// soa appends the SOA record of a zone whose name is at an offset of the message.
func (w *writer) soa(zone int, serial uint32) bool {
	length := len(wireServer) + pointerSize + len(soaHostmaster) + pointerSize + soaNumbers
	if !w.fits(pointerSize + fixedSize + length) {
		return false
	}
	w.pointTo(zone)
	w.fixed(typeSOA, min(w.ttl, soaTTL), length)
	w.msg = append(w.msg, wireServer...)
	w.pointTo(zone)
	w.msg = append(w.msg, soaHostmaster...)
	w.pointTo(zone)
	for _, v := range [...]uint32{serial, soaRefresh, soaRetry, soaExpire, w.ttl} {
		w.msg = binary.BigEndian.AppendUint32(w.msg, v)
	}
	return true
}
