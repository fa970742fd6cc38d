package fastpath

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"
)

// entry is an answer, packed. It is immutable.
type entry struct {
	stored time.Time
	ttl    uint32 // of all records, in seconds at stored: CoreDNS's cache gives all the least one
	flags  uint16 // AA, RA and the response code
	// sections is what follows the question. Compressed names point into it or into the question, of which only the case may
	// differ from one client to the next.
	sections                          []byte
	answers, authorities, additionals uint16
	ttlAt                             []uint16 // offsets in sections
	// Records of addresses that may change places: turns records of turnLen bytes each, from turnAt on. 0: none.
	turnAt, turnLen, turns int
}

// newEntry returns the entry for an answer whose question section has a length; nil: it is not to be kept.
func newEntry(m *dns.Msg, questionLen int, now time.Time) *entry {
	if !keepable(m) {
		return nil
	}
	packed := dns.Msg{MsgHdr: m.MsgHdr, Compress: true, Question: m.Question, Answer: m.Answer, Ns: m.Ns}
	for _, rr := range m.Extra {
		if rr.Header().Rrtype != dns.TypeOPT { // of one hop (RFC 6891, section 6.2.1)
			packed.Extra = append(packed.Extra, rr)
		}
	}
	bytes, err := packed.Pack()
	start := headerLen + questionLen
	if err != nil || len(bytes) < start || len(bytes) > maxEntry {
		return nil
	}
	e := &entry{
		stored: now, ttl: ^uint32(0), sections: bytes[start:],
		flags:   binary.BigEndian.Uint16(bytes[2:]) & (bitAA | bitRA | rcodeMask),
		answers: uint16(len(packed.Answer)), authorities: uint16(len(packed.Ns)), additionals: uint16(len(packed.Extra)),
	}
	if !e.index(start) || e.ttl == 0 {
		return nil
	}
	return e
}

// maxEntry is the greatest length of an answer that is kept, in bytes; longer ones are rare.
const maxEntry = 4096

// keepable reports whether CoreDNS's cache would keep an answer too (plugin/cache: key): a whole one, with records of the
// type in question or with the SOA that bounds a denial (RFC 2308, section 5).
func keepable(m *dns.Msg) bool {
	if m.Truncated || !m.Response || m.Opcode != dns.OpcodeQuery || m.IsTsig() != nil {
		return false
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return false
	}
	if m.Rcode == dns.RcodeSuccess {
		for _, rr := range m.Answer {
			if rr.Header().Rrtype == m.Question[0].Qtype {
				return true
			}
		}
	}
	for _, rr := range m.Ns {
		if rr.Header().Rrtype == dns.TypeSOA {
			return true
		}
	}
	return false
}

// index finds the times to live and the addresses in the sections, which begin at an offset of the message.
func (e *entry) index(start int) bool {
	at := 0
	for i := range int(e.answers) + int(e.authorities) + int(e.additionals) {
		begin := at
		pointer := e.sections[at] >= 0xc0
		for !pointer && e.sections[at] != 0 {
			at += int(e.sections[at]) + 1
			if at >= len(e.sections) {
				return false
			}
			if e.sections[at] >= 0xc0 {
				at++
				break
			}
		}
		if pointer {
			at++
		}
		at++ // past the closing zero, or the second byte of a pointer
		if at+10 > len(e.sections) {
			return false
		}
		kind := binary.BigEndian.Uint16(e.sections[at:])
		e.ttlAt = append(e.ttlAt, uint16(at+4))
		e.ttl = min(e.ttl, binary.BigEndian.Uint32(e.sections[at+4:]))
		at += 10 + int(binary.BigEndian.Uint16(e.sections[at+8:]))
		if at > len(e.sections) {
			return false
		}
		if i < int(e.answers) && pointer && (kind == dns.TypeA || kind == dns.TypeAAAA) {
			e.address(start, begin, at-begin)
		}
	}
	return at == len(e.sections)
}

// address notes a record of an address whose name is a pointer. Records may change places if they follow each other, are of
// one length, and no name points at one of them.
func (e *entry) address(start, at, length int) {
	target := int(binary.BigEndian.Uint16(e.sections[at:]) & 0x3fff)
	switch {
	case e.turns == 0:
		e.turnAt, e.turnLen = at, length
	case length != e.turnLen || at != e.turnAt+e.turns*e.turnLen:
		return
	}
	if target < start+e.turnAt {
		e.turns++
	}
}

// appendTo appends the sections to a question, with a time to live, and the addresses beginning at one of them.
func (e *entry) appendTo(msg []byte, ttl, turn uint32) []byte {
	base := len(msg)
	if e.turns > 1 && turn != 0 {
		split := e.turnAt + int(turn%uint32(e.turns))*e.turnLen
		end := e.turnAt + e.turns*e.turnLen
		msg = append(msg, e.sections[:e.turnAt]...)
		msg = append(msg, e.sections[split:end]...)
		msg = append(msg, e.sections[e.turnAt:split]...)
		msg = append(msg, e.sections[end:]...)
	} else {
		msg = append(msg, e.sections...)
	}
	for _, at := range e.ttlAt {
		binary.BigEndian.PutUint32(msg[base+int(at):], ttl)
	}
	return msg
}
