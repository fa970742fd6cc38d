package conntrack

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/model"
	"golang.org/x/sys/unix"
)

// Message types and attributes of linux/netfilter/nfnetlink_conntrack.h.
const (
	typeGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET
	typeDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE

	attrTupleOrig  = 1
	attrTupleReply = 2
	attrStatus     = 3
	attrProtoInfo  = 4
	attrMark       = 8
	attrReplyCount = 10 // CTA_COUNTERS_REPLY, only with net.netfilter.nf_conntrack_acct
	attrID         = 12
	attrZone       = 18
	attrMarkMask   = 21
	attrFilter     = 25 // Linux 5.8; older kernels ignore it and send every protocol

	attrTupleIP    = 1
	attrTupleProto = 2

	attrIPv4Src, attrIPv4Dst = 1, 2
	attrIPv6Src, attrIPv6Dst = 3, 4

	attrProtoNum, attrProtoSrcPort, attrProtoDstPort = 1, 2, 3

	attrCountPackets, attrCountBytes = 1, 2
	attrProtoInfoTCP, attrTCPState   = 1, 1

	attrFilterOrigFlags = 1
	filterProtoNum      = 1 << 3 // CTA_FILTER_F_CTA_PROTO_NUM, linux/net/netfilter/nf_internals.h

	attrTypeMask = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
)

const (
	headerLen    = unix.SizeofNlMsghdr
	nfgenmsgLen  = 4 // family, version, resource id
	attrHeader   = 4
	netlinkAlign = 4
)

func align(n int) int { return (n + netlinkAlign - 1) &^ (netlinkAlign - 1) }

// request is a netlink message to be sent.
type request struct {
	kind, flags uint16
	family      model.Family
	attributes  []byte
}

// marshal returns the message with its header and the nfgenmsg.
func (r request) marshal(seq uint32) []byte {
	out := make([]byte, headerLen+nfgenmsgLen, headerLen+nfgenmsgLen+len(r.attributes))
	out = append(out, r.attributes...)
	binary.NativeEndian.PutUint32(out[0:], uint32(len(out)))
	binary.NativeEndian.PutUint16(out[4:], r.kind)
	binary.NativeEndian.PutUint16(out[6:], unix.NLM_F_REQUEST|r.flags)
	binary.NativeEndian.PutUint32(out[8:], seq)
	out[headerLen] = unix.AF_INET
	if r.family == model.IPv6 {
		out[headerLen] = unix.AF_INET6
	}
	out[headerLen+1] = unix.NFNETLINK_V0
	return out
}

// dumpRequest asks for all UDP flows of a family.
func dumpRequest(family model.Family) request {
	protocol := nested(attrTupleProto, attribute(attrProtoNum, []byte{unix.IPPROTO_UDP}))
	flags := make([]byte, 4)
	binary.NativeEndian.PutUint32(flags, filterProtoNum)
	return request{
		kind: typeGet, flags: unix.NLM_F_DUMP, family: family,
		attributes: append(nested(attrTupleOrig, protocol), nested(attrFilter, attribute(attrFilterOrigFlags, flags))...),
	}
}

// markedRequest asks for all connections of a family whose mark has all of these bits.
func markedRequest(family model.Family, mark uint32) request {
	value := binary.BigEndian.AppendUint32(nil, mark)
	return request{
		kind: typeGet, flags: unix.NLM_F_DUMP, family: family,
		attributes: append(attribute(attrMark, value), attribute(attrMarkMask, value)...),
	}
}

// deleteRequest asks for exactly this flow to be deleted, and for an answer.
func deleteRequest(f Flow) request {
	id, zone := make([]byte, 4), make([]byte, 2)
	binary.BigEndian.PutUint32(id, f.ID)
	binary.BigEndian.PutUint16(zone, f.Zone)
	attributes := nested(attrTupleOrig, marshalTuple(model.UDP, f.Source, f.Destination))
	attributes = append(attributes, attribute(attrID, id)...)
	if f.Zone != 0 {
		attributes = append(attributes, attribute(attrZone, zone)...)
	}
	return request{
		kind: typeDelete, flags: unix.NLM_F_ACK, family: model.FamilyOf(f.Destination.Addr()), attributes: attributes,
	}
}

// lookupRequest asks for the connection with this original tuple.
func lookupRequest(c Connection) request {
	attributes := nested(attrTupleOrig, marshalTuple(c.Protocol, c.Source, c.Destination))
	if c.Zone != 0 {
		attributes = append(attributes, attribute(attrZone, binary.BigEndian.AppendUint16(nil, c.Zone))...)
	}
	return request{
		kind: typeGet, flags: unix.NLM_F_ACK, family: model.FamilyOf(c.Destination.Addr()), attributes: attributes,
	}
}

// marshalTuple returns the attributes within a tuple.
func marshalTuple(protocolNumber model.Protocol, src, dst netip.AddrPort) []byte {
	srcType, dstType := uint16(attrIPv4Src), uint16(attrIPv4Dst)
	if dst.Addr().Is6() {
		srcType, dstType = attrIPv6Src, attrIPv6Dst
	}
	addresses := append(attribute(srcType, src.Addr().AsSlice()), attribute(dstType, dst.Addr().AsSlice())...)
	protocol := attribute(attrProtoNum, []byte{byte(protocolNumber)})
	protocol = append(protocol, attribute(attrProtoSrcPort, binary.BigEndian.AppendUint16(nil, src.Port()))...)
	protocol = append(protocol, attribute(attrProtoDstPort, binary.BigEndian.AppendUint16(nil, dst.Port()))...)
	return append(nested(attrTupleIP, addresses), nested(attrTupleProto, protocol)...)
}

// attribute returns a netlink attribute, padded.
func attribute(kind uint16, value []byte) []byte {
	out := make([]byte, align(attrHeader+len(value)))
	binary.NativeEndian.PutUint16(out[0:], uint16(attrHeader+len(value)))
	binary.NativeEndian.PutUint16(out[2:], kind)
	copy(out[attrHeader:], value)
	return out
}

func nested(kind uint16, value []byte) []byte { return attribute(kind|unix.NLA_F_NESTED, value) }

// message is one netlink message of an answer.
type message struct {
	kind, flags uint16
	seq         uint32
	payload     []byte
}

// messages splits a datagram; what is cut short ends it.
func messages(datagram []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(datagram) >= headerLen {
			length := int(binary.NativeEndian.Uint32(datagram))
			if length < headerLen || length > len(datagram) {
				return
			}
			m := message{
				kind:    binary.NativeEndian.Uint16(datagram[4:]),
				flags:   binary.NativeEndian.Uint16(datagram[6:]),
				seq:     binary.NativeEndian.Uint32(datagram[8:]),
				payload: datagram[headerLen:length],
			}
			if !yield(m) {
				return
			}
			datagram = datagram[min(align(length), len(datagram)):]
		}
	}
}

// last reports whether the message ends an answer.
func (m message) last() bool { return m.kind == unix.NLMSG_DONE || m.kind == unix.NLMSG_ERROR }

// err returns the error number that the last message of an answer carries.
func (m message) err() error {
	if len(m.payload) < 4 {
		return nil
	}
	if code := int32(binary.NativeEndian.Uint32(m.payload)); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// attributes iterates over the attributes in b; what is cut short ends it.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= attrHeader {
			length := int(binary.NativeEndian.Uint16(b))
			if length < attrHeader || length > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&attrTypeMask, b[attrHeader:length]) {
				return
			}
			b = b[min(align(length), len(b)):]
		}
	}
}

// parseUDPFlow reads the payload of a message about a flow; false: it is not a whole UDP flow.
func parseUDPFlow(payload []byte) (Flow, bool) {
	c, ok := parseConnection(payload)
	return c.Flow, ok && c.Protocol == model.UDP
}

// parseConnection reads the payload of a message about a connection; false: it is not whole, or has no ports.
func parseConnection(payload []byte) (Connection, bool) {
	if len(payload) < nfgenmsgLen {
		return Connection{}, false
	}
	var c Connection
	var original, reply tuple
	for kind, value := range attributes(payload[nfgenmsgLen:]) {
		switch kind {
		case attrTupleOrig:
			original = parseTuple(value)
		case attrTupleReply:
			reply = parseTuple(value)
		case attrID:
			c.ID = uint32(number(value))
		case attrZone:
			c.Zone = uint16(number(value))
		case attrStatus:
			c.Status = Status(number(value))
		case attrMark:
			c.Mark = uint32(number(value))
		case attrProtoInfo:
			c.TCPState = parseTCPState(value)
		case attrReplyCount:
			c.Reply = parseTraffic(value)
		}
	}
	c.Protocol = model.Protocol(original.protocol)
	c.Source, c.Destination = original.src(), original.dst()
	c.ReplySource, c.ReplyDestination = reply.src(), reply.dst()
	return c, original.valid() && reply.valid()
}

// number returns the value of an attribute that is an unsigned number in network byte order; 0 where it has no such size.
func number(value []byte) uint64 {
	switch len(value) {
	case 2:
		return uint64(binary.BigEndian.Uint16(value))
	case 4:
		return uint64(binary.BigEndian.Uint32(value))
	case 8:
		return binary.BigEndian.Uint64(value)
	}
	return 0
}

func parseTraffic(b []byte) Traffic {
	var t Traffic
	for kind, value := range attributes(b) {
		switch kind {
		case attrCountPackets:
			t.Packets = number(value)
		case attrCountBytes:
			t.Bytes = number(value)
		}
	}
	return t
}

func parseTCPState(b []byte) TCPState {
	for kind, value := range attributes(b) {
		if kind != attrProtoInfoTCP {
			continue
		}
		for kind, value := range attributes(value) {
			if kind == attrTCPState && len(value) == 1 {
				return TCPState(value[0])
			}
		}
	}
	return 0
}

// tuple is one direction of a flow.
type tuple struct {
	srcAddr, dstAddr netip.Addr
	srcPort, dstPort uint16
	protocol         uint8
}

func (t tuple) valid() bool         { return t.srcAddr.IsValid() && t.dstAddr.IsValid() }
func (t tuple) src() netip.AddrPort { return netip.AddrPortFrom(t.srcAddr, t.srcPort) }
func (t tuple) dst() netip.AddrPort { return netip.AddrPortFrom(t.dstAddr, t.dstPort) }

func parseTuple(b []byte) tuple {
	var t tuple
	for kind, value := range attributes(b) {
		switch kind {
		case attrTupleIP:
			t.parseAddresses(value)
		case attrTupleProto:
			t.parseProtocol(value)
		}
	}
	return t
}

func (t *tuple) parseAddresses(b []byte) {
	for kind, value := range attributes(b) {
		switch kind {
		case attrIPv4Src, attrIPv6Src:
			t.srcAddr, _ = netip.AddrFromSlice(value)
		case attrIPv4Dst, attrIPv6Dst:
			t.dstAddr, _ = netip.AddrFromSlice(value)
		}
	}
}

func (t *tuple) parseProtocol(b []byte) {
	for kind, value := range attributes(b) {
		switch {
		case kind == attrProtoNum && len(value) == 1:
			t.protocol = value[0]
		case kind == attrProtoSrcPort && len(value) == 2:
			t.srcPort = binary.BigEndian.Uint16(value)
		case kind == attrProtoDstPort && len(value) == 2:
			t.dstPort = binary.BigEndian.Uint16(value)
		}
	}
}
