package proxytest

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"
)

// invalidPackets: what conntrack calls INVALID is not forwarded where the plan asks for that, and is where it does not.
// (The answer to a connection that nobody opened is such a packet.)
func (s *subject) invalidPackets() {
	for _, c := range []struct {
		config  string
		arrives bool
	}{{"dropInvalid: true", false}, {"dropInvalid: false", true}} {
		s.configure(c.config)
		s.web(0, "local-1", "remote-1")
		for _, from := range []string{"local-1", "remote-1"} {
			patience := s.silence
			if c.arrives {
				patience = answerPatience
			}
			if got := s.strayAnswerArrives(from, "client", patience); got != c.arrives {
				s.t.Errorf("%s: a stray SYN-ACK of %s arrives: %t, want %t", c.config, from, got, c.arrives)
			}
		}
	}
}

// strayAnswerArrives sends a SYN-ACK that answers nothing, and reports whether it arrives.
func (s *subject) strayAnswerArrives(from, to string, patience time.Duration) bool {
	sender, err := findHost(from)
	if err != nil {
		s.t.Fatal(err)
	}
	receiver, err := findHost(to)
	if err != nil {
		s.t.Fatal(err)
	}
	var in, out net.PacketConn
	s.must(s.namespaces[to].Do(func() (err error) {
		in, err = net.ListenPacket("ip4:tcp", receiver.v4.String())
		return err
	}))
	defer in.Close()
	s.must(s.namespaces[from].Do(func() (err error) {
		out, err = net.ListenPacket("ip4:tcp", sender.v4.String())
		return err
	}))
	defer out.Close()
	port := s.ports.next()
	segment := synAck(sender.v4, receiver.v4, port)
	if _, err := out.WriteTo(segment, &net.IPAddr{IP: receiver.v4.AsSlice()}); err != nil {
		s.t.Fatal(err)
	}
	if err := in.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	buffer := make([]byte, 1500)
	for {
		n, _, err := in.ReadFrom(buffer)
		if err != nil {
			return false
		}
		if n >= 2 && binary.BigEndian.Uint16(buffer) == port {
			return true
		}
	}
}

// synAck returns a TCP segment (RFC 9293, section 3.1) with SYN and ACK from port to port 9, checksum included.
func synAck(from, to netip.Addr, port uint16) []byte {
	segment := make([]byte, 20)
	binary.BigEndian.PutUint16(segment[0:], port)
	binary.BigEndian.PutUint16(segment[2:], 9)
	segment[12] = 5 << 4 // header length in words
	segment[13] = 0x12   // SYN, ACK
	segment[14] = 0x10   // window
	pseudo := append(append(from.AsSlice(), to.AsSlice()...), 0, 6, 0, byte(len(segment)))
	sum := uint32(0)
	for _, part := range [][]byte{pseudo, segment} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(segment[16:], ^uint16(sum))
	return segment
}
