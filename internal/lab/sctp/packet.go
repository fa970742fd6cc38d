package sctp

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// protocol is the number of SCTP in IP headers.
const protocol = 132

// Types of chunks (RFC 9260, section 3.2).
const (
	typeData             = 0
	typeInit             = 1
	typeInitAck          = 2
	typeSack             = 3
	typeHeartbeat        = 4
	typeHeartbeatAck     = 5
	typeAbort            = 6
	typeShutdown         = 7
	typeShutdownAck      = 8
	typeCookieEcho       = 10
	typeCookieAck        = 11
	typeShutdownComplete = 14
)

// Lengths, in bytes.
const (
	headerLength = 12 // of a packet: ports, verification tag, checksum
	chunkHeader  = 4  // of a chunk: type, flags, length
	initLength   = 16 // of the fixed part of INIT and INIT ACK: tag, window, streams out and in, first TSN
	dataHeader   = 12 // of DATA: TSN, stream, sequence number, payload protocol
)

// wholeMessage are the flags of DATA that holds a message from beginning to end.
const wholeMessage = 3

// window is what is offered to the peer, in bytes. Nobody counts, as lines are short.
const window = 1 << 16

// cookieParameter is the type of the parameter of INIT ACK that COOKIE ECHO sends back (section 3.3.3).
const cookieParameter = 7

// header is the common header of a packet, without the checksum.
type header struct {
	from, to uint16
	tag      uint32
}

// chunk is one chunk of a packet.
type chunk struct {
	kind, flags byte
	value       []byte
}

// castagnoli is the polynomial of the checksum (RFC 9260, appendix A).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns a packet.
func encode(h header, chunks ...chunk) []byte {
	b := binary.BigEndian.AppendUint16(nil, h.from)
	b = binary.BigEndian.AppendUint16(b, h.to)
	b = binary.BigEndian.AppendUint32(b, h.tag)
	b = append(b, 0, 0, 0, 0)
	for _, c := range chunks {
		b = append(b, c.kind, c.flags)
		b = binary.BigEndian.AppendUint16(b, uint16(chunkHeader+len(c.value)))
		b = append(b, c.value...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	binary.LittleEndian.PutUint32(b[8:], checksum(b))
	return b
}

// checksum returns the checksum of a packet, in which that field counts as zero.
func checksum(b []byte) uint32 {
	sum := crc32.Update(crc32.Checksum(b[:8], castagnoli), castagnoli, make([]byte, 4))
	return crc32.Update(sum, castagnoli, b[headerLength:])
}

// errMalformed is why a packet was not taken.
var errMalformed = errors.New("malformed SCTP packet")

// decode reads a packet. The chunks' values lie in b.
func decode(b []byte) (header, []chunk, error) {
	h, err := decodeHeader(b)
	if err != nil || len(b) < headerLength {
		return header{}, nil, errMalformed
	}
	if checksum(b) != binary.LittleEndian.Uint32(b[8:]) {
		return header{}, nil, errMalformed
	}
	var chunks []chunk
	for rest := b[headerLength:]; len(rest) >= chunkHeader; {
		length := int(binary.BigEndian.Uint16(rest[2:]))
		if length < chunkHeader || length > len(rest) {
			return header{}, nil, errMalformed
		}
		chunks = append(chunks, chunk{kind: rest[0], flags: rest[1], value: rest[chunkHeader:length]})
		rest = rest[min((length+3)&^3, len(rest)):]
	}
	return h, chunks, nil
}

// decodeHeader reads the common header, of which the first 8 bytes are all that an ICMP error brings back for sure.
func decodeHeader(b []byte) (header, error) {
	if len(b) < 8 {
		return header{}, errMalformed
	}
	return header{from: binary.BigEndian.Uint16(b), to: binary.BigEndian.Uint16(b[2:]), tag: binary.BigEndian.Uint32(b[4:])}, nil
}

// initiation is what INIT and INIT ACK say.
type initiation struct {
	tag, tsn uint32 // the sender's own
	cookie   []byte // of INIT ACK only
}

func (i initiation) chunk(kind byte) chunk {
	v := binary.BigEndian.AppendUint32(nil, i.tag)
	v = binary.BigEndian.AppendUint32(v, window)
	v = append(v, 0, 1, 0, 1)
	v = binary.BigEndian.AppendUint32(v, i.tsn)
	if i.cookie != nil {
		v = append(v, 0, cookieParameter)
		v = binary.BigEndian.AppendUint16(v, uint16(4+len(i.cookie)))
		v = append(v, i.cookie...)
	}
	return chunk{kind: kind, value: v}
}

func parseInitiation(v []byte) (initiation, error) {
	if len(v) < initLength {
		return initiation{}, errMalformed
	}
	i := initiation{tag: binary.BigEndian.Uint32(v), tsn: binary.BigEndian.Uint32(v[12:])}
	for rest := v[initLength:]; len(rest) >= 4; {
		length := int(binary.BigEndian.Uint16(rest[2:]))
		if length < 4 || length > len(rest) {
			return initiation{}, errMalformed
		}
		if binary.BigEndian.Uint16(rest) == cookieParameter {
			i.cookie = rest[4:length]
		}
		rest = rest[min((length+3)&^3, len(rest)):]
	}
	return i, nil
}

// data returns a DATA chunk with a whole message, on stream 0.
func data(tsn uint32, sequence uint16, payload []byte) chunk {
	v := binary.BigEndian.AppendUint32(nil, tsn)
	v = append(v, 0, 0)
	v = binary.BigEndian.AppendUint16(v, sequence)
	v = append(v, 0, 0, 0, 0)
	return chunk{kind: typeData, flags: wholeMessage, value: append(v, payload...)}
}

// sack returns a SACK chunk for everything up to a TSN.
func sack(tsn uint32) chunk {
	v := binary.BigEndian.AppendUint32(nil, tsn)
	v = binary.BigEndian.AppendUint32(v, window)
	return chunk{kind: typeSack, value: append(v, 0, 0, 0, 0)}
}
