package fastpath

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/kernel/datagram"
)

// conversation is a packet that CoreDNS works on. It does what dns.Server (serveDNS in server.go of miekg/dns) does with one.
type conversation struct {
	socket *datagram.Socket
	local  *net.UDPAddr
	peer   datagram.Peer
	target *Target
	packet []byte

	request   *dns.Msg
	cacheable bool // the reply may be kept
	closed    bool
}

var _ dns.ResponseWriter = (*conversation)(nil)

// serve answers the packet.
func (c *conversation) serve() {
	header := dns.Header{
		Id:      binary.BigEndian.Uint16(c.packet[0:]),
		Bits:    binary.BigEndian.Uint16(c.packet[2:]),
		Qdcount: binary.BigEndian.Uint16(c.packet[4:]),
		Ancount: binary.BigEndian.Uint16(c.packet[6:]),
		Nscount: binary.BigEndian.Uint16(c.packet[8:]),
		Arcount: binary.BigEndian.Uint16(c.packet[10:]),
	}
	switch dns.DefaultMsgAcceptFunc(header) {
	case dns.MsgIgnore:
		return
	case dns.MsgReject:
		c.refuse(header, nil, dns.RcodeFormatError)
		return
	case dns.MsgRejectNotImplemented:
		c.refuse(header, nil, dns.RcodeNotImplemented)
		return
	case dns.MsgAccept:
	}
	request := new(dns.Msg)
	if err := request.Unpack(c.packet); err != nil {
		c.refuse(header, request.Question, dns.RcodeFormatError)
		return
	}
	c.request, c.cacheable = request, plain(c.packet)
	c.target.Serve(c, request)
}

// plain reports whether a packet is a question whose answer may be kept.
func plain(packet []byte) bool {
	var q query
	return q.parse(packet) && q.cacheable()
}

// refuse answers a packet that cannot be understood: with its header, and its question as far as that can be, so that it amplifies
// nothing.
func (c *conversation) refuse(header dns.Header, question []dns.Question, rcode int) {
	reply := new(dns.Msg)
	reply.Id, reply.Response, reply.Rcode, reply.Question = header.Id, true, rcode, question
	reply.RecursionDesired = header.Bits&bitRD != 0
	reply.AuthenticatedData, reply.CheckingDisabled = header.Bits&bitAD != 0, header.Bits&bitCD != 0
	if rcode == dns.RcodeNotImplemented {
		reply.Opcode = int(header.Bits&opcodeMask) >> 11
	}
	_ = c.write(reply)
}

// write packs and sends a message.
func (c *conversation) write(m *dns.Msg) error {
	packed, err := m.Pack()
	if err != nil {
		return err
	}
	_, err = c.Write(packed)
	return err
}

// WriteMsg implements dns.ResponseWriter, and keeps the answer for others if it may.
func (c *conversation) WriteMsg(m *dns.Msg) error {
	if c.cacheable {
		c.target.Routes.keep(m)
	}
	return c.write(m)
}

// Write implements dns.ResponseWriter.
func (c *conversation) Write(packet []byte) (int, error) {
	if c.closed {
		return 0, net.ErrClosed
	}
	if err := c.socket.WriteTo(packet, &c.peer); err != nil {
		return 0, err
	}
	return len(packet), nil
}

// LocalAddr implements dns.ResponseWriter: the address that the client has asked.
func (c *conversation) LocalAddr() net.Addr {
	if c.peer.To.IsValid() {
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.peer.To, uint16(c.local.Port)))
	}
	return c.local
}

// RemoteAddr implements dns.ResponseWriter.
func (c *conversation) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.peer.From) }

// Close implements dns.ResponseWriter.
func (c *conversation) Close() error {
	c.closed = true
	return nil
}

// TsigStatus implements dns.ResponseWriter. Listeners with the plugin tsig have no fast path: there is no secret here.
func (c *conversation) TsigStatus() error {
	if c.request.IsTsig() != nil {
		return dns.ErrSecret
	}
	return nil
}

// TsigTimersOnly implements dns.ResponseWriter; it means nothing over UDP.
func (c *conversation) TsigTimersOnly(bool) {}

// Hijack implements dns.ResponseWriter; a UDP socket cannot be taken over.
func (c *conversation) Hijack() {}
