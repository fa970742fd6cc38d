package zone

// Question is one question of class IN.
type Question struct {
	// Name is the name in wire format with its closing zero, in lower case, without compression: at most 255 bytes.
	// It is not kept.
	Name []byte
	Type uint16
	// Size is the greatest length of the message in bytes, without what the caller appends (OPT). Records that do not
	// fit are left out, and Reply.Truncated says so.
	Size int
	// Turn is where the list of addresses begins, modulo their number: give a random number to spread clients over
	// the addresses of headless Services (the plugin loadbalance does the same), or 0.
	Turn uint32
}

// Verdict says who answers a question.
type Verdict uint8

// The verdicts.
const (
	// Chain: the table does not answer by itself; nothing was appended. It is a question for a name outside of the
	// zones, for a name that falls through, for the target of an ExternalName Service, or for a zone transfer.
	// The fast path must hand the question to CoreDNS; the plugin asks Zones.Explain which of them it is.
	Chain Verdict = iota
	// Answered: the reply is complete, and authoritative (AA).
	Answered
)

// Reply says what Answer appended.
type Reply struct {
	Verdict Verdict
	// Rcode is the response code: success, name error or, before the first complete snapshot, server failure.
	Rcode uint8
	// Answers, Authorities and Additionals are the numbers of records in each section.
	Answers, Authorities, Additionals uint16
	// Truncated is true if a record did not fit (TC).
	Truncated bool
}

// Answer appends the sections of the answer to q to msg and returns the longer msg. msg holds the 12 bytes of the header,
// which Answer neither reads nor writes, and the question as it was asked, with its case, at offset 12; the names of the
// answer point into it, and so keep its case. Nothing is allocated if msg has room for q.Size bytes.
func (z *Zones) Answer(msg []byte, q Question) ([]byte, Reply) {
	return msg, Reply{}
}
