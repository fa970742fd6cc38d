package zone

import "net/netip"

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
	// Chain: the table does not answer by itself, and nothing was appended; Reply.Cause says why.
	// The fast path must hand the question to CoreDNS.
	Chain Verdict = iota
	// Answered: the reply is complete, and authoritative (AA).
	Answered
)

// Cause says why the table does not answer by itself.
type Cause uint8

// The causes.
const (
	// Outside: the name is in none of the zones.
	Outside Cause = iota
	// Fallthrough: there is no such name, and the Corefile leaves it to the next plugin.
	Fallthrough
	// External: the name is an alias for Reply.Target, whose addresses are asked for.
	External
	// Transfer: it is a zone transfer, which the plugin `transfer` answers before it comes here.
	Transfer
)

// Response codes (RFC 1035, 4.1.1) of a Reply.
const (
	Success       = 0
	ServerFailure = 2
	NameError     = 3
)

// Reply says what Answer appended.
type Reply struct {
	Verdict Verdict
	// Cause is set for Chain.
	Cause Cause
	// Rcode is the response code: Success, NameError or, before the first complete snapshot, ServerFailure.
	Rcode uint8
	// Answers, Authorities and Additionals are the numbers of records in each section.
	Answers, Authorities, Additionals uint16
	// Truncated is true if a record did not fit (TC).
	Truncated bool
	// Target is the externalName of the Service, for External.
	Target string
}

// Answer appends the sections of the answer to q to msg and returns the longer msg. msg holds the 12 bytes of the
// header, which Answer neither reads nor writes, and the question as it was asked, with its case, at offset 12; the
// names of the answer point into it, and so keep its case. Nothing is allocated if msg has room for q.Size bytes, but
// for name servers, names of pods that are not written as an IPv4 address, and options that select by labels.
func (z *Zones) Answer(msg []byte, q Question) ([]byte, Reply) {
	return z.AnswerFrom(z.live.Table(), msg, q)
}

// AnswerFrom is Answer from a table, for several answers that have to fit together.
func (z *Zones) AnswerFrom(t *Table, msg []byte, q Question) ([]byte, Reply) {
	c := composer{zones: z, table: t, writer: writer{msg: msg, size: q.Size, ttl: z.options.TTL}}
	if !z.parse(&c.request, q.Name) {
		return msg, Reply{Cause: Outside}
	}
	if q.Type == typeAXFR || q.Type == typeIXFR {
		return msg, Reply{Cause: Transfer}
	}
	c.zone = msg[questionAt+c.request.zoneAt : questionAt+len(q.Name)]
	if q.Type == typePTR {
		if addr, ok := c.request.reverseAddr(); ok {
			return c.reverse(addr)
		}
	}
	return c.forward(z.find(t, &c.request), q)
}

// composer puts one answer together.
type composer struct {
	writer
	zones   *Zones
	table   *Table
	request request // by value: what a composer points to is on the heap
	zone    []byte  // as it was asked for
	reply   Reply
}

// forward composes the answer for a name that stands for f.
func (c *composer) forward(f found, q Question) ([]byte, Reply) {
	if f.kind == kindNone || f.kind == kindVersion && q.Type != typeTXT {
		return c.missing()
	}
	switch q.Type {
	case typeA, typeAAAA:
		if f.kind == kindExternal {
			return c.msg, Reply{Cause: External, Target: f.entry.service.ExternalName}
		}
		c.addresses(&f, q)
	case typeSRV:
		c.services(&f)
	case typeCNAME:
		c.alias(&f)
	case typeTXT:
		if f.kind == kindVersion {
			c.count(c.wire(typeTXT, versionTTL, version))
		}
	case typeSOA:
		if c.request.shape == shapeApex {
			c.count(c.soa(questionAt, c.table.serial))
		}
	case typeNS:
		if c.request.shape == shapeApex {
			c.nameServers()
		}
	}
	return c.done()
}

const (
	// version is the version of the schema, as a character string; versionTTL is its TTL in CoreDNS.
	version    = "\x051.1.0"
	versionTTL = 28800
)

// count counts a record of the answer section that was written.
func (c *composer) count(written bool) {
	if written {
		c.reply.Answers++
	}
}

// done returns the answer; one without records has the SOA of the zone, for how long it may be kept (RFC 2308).
func (c *composer) done() ([]byte, Reply) {
	c.reply.Verdict = Answered
	if c.reply.Answers == 0 && !c.truncated && c.soa(questionAt+c.request.zoneAt, c.table.serial) {
		c.reply.Authorities = 1
	}
	c.reply.Truncated = c.truncated
	return c.msg, c.reply
}

// missing composes the answer for a name that does not exist.
func (c *composer) missing() ([]byte, Reply) {
	for i := range c.zones.through {
		if _, ok := c.request.within(c.zones.through[i]); ok {
			return c.msg, Reply{Cause: Fallthrough}
		}
	}
	c.reply.Rcode = NameError
	if !c.table.synced {
		c.reply.Rcode = ServerFailure
	}
	return c.done()
}

// addresses appends the A or AAAA records of what was found.
func (c *composer) addresses(f *found, q Question) {
	switch f.kind {
	case kindAddr:
		if typeOf(f.addr) == q.Type {
			c.count(c.addressAt(asked, f.addr))
		}
	case kindCluster:
		c.clusterAddresses(f.entry, q.Type)
	case kindEndpoints:
		c.endpointAddresses(f, q)
	case kindServer:
		for _, s := range c.zones.servers(c.table) {
			if typeOf(s.addr) == q.Type {
				c.count(c.addressAt(asked, s.addr))
			}
		}
	}
}

// clusterAddresses appends the cluster IPs of a family.
func (c *composer) clusterAddresses(e *entry, kind uint16) {
	switch {
	case e.several:
		for _, a := range e.service.ClusterIPs {
			if typeOf(a) == kind {
				c.count(c.addressAt(asked, a))
			}
		}
	case kind == typeA && e.has4:
		c.count(c.addressAt(asked, netip.AddrFrom4(e.v4)))
	case kind == typeAAAA && e.has6:
		c.count(c.addressAt(asked, netip.AddrFrom16(e.v6)))
	}
}

// endpointAddresses appends the addresses of endpoints of a family, beginning where q.Turn says. The turn counts those of
// the family alone: the families lie apart in the order, and whoever stood first behind the other one would come first most
// of the time.
func (c *composer) endpointAddresses(f *found, q Question) {
	first := 0
	if q.Turn > 0 {
		n := 0
		for i := range f.order {
			if f.hasAddress(i, q.Type) {
				n++
			}
		}
		for skip := int(q.Turn % uint32(max(n, 1))); skip > 0; first++ {
			if f.hasAddress(first, q.Type) {
				skip--
			}
		}
	}
	for k := 0; k < len(f.order) && !c.truncated; k++ {
		i := first + k
		if i >= len(f.order) {
			i -= len(f.order)
		}
		if f.hasAddress(i, q.Type) {
			ep, _ := f.entry.at(f.order[i])
			c.count(c.addressAt(asked, ep.Addr))
		}
	}
}

// alias appends the CNAME of an ExternalName Service.
func (c *composer) alias(f *found) {
	if f.kind != kindExternal {
		return
	}
	if name, err := wireName(f.entry.service.ExternalName); err == nil {
		c.count(c.wire(typeCNAME, c.ttl, name))
	}
}
