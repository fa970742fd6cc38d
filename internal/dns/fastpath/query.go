package fastpath

import "encoding/binary"

// Sizes and bits of a message (RFC 1035, section 4.1; RFC 6891, section 6.1).
const (
	headerLen = 12
	maxName   = 255
	maxLabel  = 63
	optLen    = 11  // an OPT record without options
	minSize   = 512 // what every client takes

	bitQR = 0x8000
	bitAA = 0x0400
	bitTC = 0x0200
	bitRD = 0x0100
	bitRA = 0x0080
	bitAD = 0x0020
	bitCD = 0x0010
	bitDO = 0x8000 // of the OPT record's TTL

	opcodeMask = 0x7800
	rcodeMask  = 0x000f
	// optFlagsKept are the bits that CoreDNS returns of a question's OPT (request.Request.SizeAndDo).
	optFlagsKept = 0xff00

	typeTXT = 16
	typeOPT = 41
	typeDS  = 43
	// Types from here to 255 are questions about more than records: TKEY, TSIG, IXFR, AXFR, MAILB, MAILA, ANY
	// (RFC 6895, section 3.1).
	firstMetaType = 249
	lastMetaType  = 255
	classIN       = 1
)

// query is a plain question. Its fields alias nothing.
type query struct {
	name    [maxName + 2]byte // in wire format and lower case, with the closing zero; then the type, for key
	nameLen int
	qtype   uint16
	flags   uint16 // of the header
	end     int    // of the question section in the packet
	// edns is true if there was an OPT record; size and optFlags are its.
	edns     bool
	size     uint16
	optFlags uint16
}

// parse reads a packet; false: it is not a plain question.
func (q *query) parse(packet []byte) bool {
	if len(packet) < headerLen+5 {
		return false
	}
	q.flags = binary.BigEndian.Uint16(packet[2:])
	if q.flags&(bitQR|opcodeMask) != 0 {
		return false
	}
	// One question, no answers, no authorities, at most one additional record.
	additionals := binary.BigEndian.Uint16(packet[10:])
	if binary.BigEndian.Uint32(packet[4:]) != 1<<16 || packet[8] != 0 || packet[9] != 0 || additionals > 1 {
		return false
	}
	if !q.parseName(packet) {
		return false
	}
	if len(packet) < q.end+4 {
		return false
	}
	q.qtype = binary.BigEndian.Uint16(packet[q.end:])
	class := binary.BigEndian.Uint16(packet[q.end+2:])
	q.end += 4
	if class != classIN || q.qtype == 0 || q.qtype == typeOPT || q.qtype == typeDS ||
		q.qtype >= firstMetaType && q.qtype <= lastMetaType {
		return false
	}
	q.edns = additionals == 1
	if !q.edns {
		return len(packet) == q.end
	}
	return q.parseOPT(packet[q.end:])
}

// parseName reads the name of the question, which nothing can be compressed against, and sets end to what follows it.
func (q *query) parseName(packet []byte) bool {
	rest := packet[headerLen:]
	at := 0
	for {
		if at >= len(rest) || at >= maxName {
			return false
		}
		length := int(rest[at])
		q.name[at] = byte(length)
		at++
		if length == 0 {
			break
		}
		if length > maxLabel || at+length >= maxName || at+length >= len(rest) {
			return false
		}
		for i := at; i < at+length; i++ {
			c := rest[i]
			if c-'A' < 26 {
				c += 'a' - 'A'
			}
			q.name[i] = c
		}
		at += length
	}
	q.nameLen, q.end = at, headerLen+at
	return true
}

// parseOPT reads an OPT record of version 0 without options, up to the end of the packet.
func (q *query) parseOPT(record []byte) bool {
	if len(record) != optLen || record[0] != 0 || binary.BigEndian.Uint16(record[1:]) != typeOPT {
		return false
	}
	q.size = binary.BigEndian.Uint16(record[3:])
	extended, version, length := record[5], record[6], binary.BigEndian.Uint16(record[9:])
	q.optFlags = binary.BigEndian.Uint16(record[7:])
	return extended == 0 && version == 0 && length == 0
}

// limit returns the greatest length of the reply.
func (q *query) limit() int {
	if !q.edns {
		return minSize
	}
	return max(minSize, int(q.size))
}

// appendOPT appends the OPT record of a reply, as CoreDNS makes it of the question's.
func (q *query) appendOPT(msg []byte) []byte {
	flags := q.optFlags & optFlagsKept
	return append(msg, 0, 0, typeOPT, byte(q.size>>8), byte(q.size), 0, 0, byte(flags>>8), byte(flags), 0, 0)
}

// lookupName returns the name for a look-up; it is overwritten by the next parse.
func (q *query) lookupName() []byte { return q.name[:q.nameLen] }

// key returns the name and the type; it is overwritten by the next parse.
func (q *query) key() []byte {
	binary.BigEndian.PutUint16(q.name[q.nameLen:], q.qtype)
	return q.name[:q.nameLen+2]
}

// cacheable reports whether the answer is the same for everyone: CoreDNS's cache tells questions with the bits DO and CD
// apart, and clears AD of the answer unless the question has it.
func (q *query) cacheable() bool {
	return q.flags&(bitAD|bitCD) == 0 && (!q.edns || q.optFlags&bitDO == 0)
}
