package server

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestBadInput asks what is wrong, over UDP by the fast path and over TCP, and then something that is right.
func TestBadInput(t *testing.T) {
	up := startUpstream(t)
	r := start(t, cluster(t), kubeadm(up.addr), nil)
	r.fast(t)
	const web = "web.default.svc.cluster.local."
	for name, c := range map[string]struct {
		change func(*dns.Msg)
		rcode  int
	}{
		"class HS":       {func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassHESIOD }, -1},
		"opcode 7":       {func(m *dns.Msg) { m.Opcode = 7 }, dns.RcodeNotImplemented},
		"an update":      {func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		"two questions":  {func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, dns.RcodeFormatError},
		"EDNS version 9": {func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(9) }, dns.RcodeBadVers},
		"ANY":            {func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeANY }, dns.RcodeSuccess},
		"AXFR": {func(m *dns.Msg) {
			m.Question[0] = dns.Question{Name: "cluster.local.", Qtype: dns.TypeAXFR, Qclass: dns.ClassINET}
		}, dns.RcodeRefused},
		"a type unknown":   {func(m *dns.Msg) { m.Question[0].Qtype = 65280 }, dns.RcodeSuccess},
		"the longest name": {func(m *dns.Msg) { m.Question[0].Name = strings.Repeat(strings.Repeat("a", 61)+".", 4) }, -1},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m := new(dns.Msg)
			m.SetQuestion(web, dns.TypeA)
			c.change(m)
			if reply := r.exchange(t, network, m); c.rcode >= 0 && reply.Rcode != c.rcode {
				t.Errorf("%s over %s: %s, want %s", name, network, dns.RcodeToString[reply.Rcode], dns.RcodeToString[c.rcode])
			}
		}
	}
	if m := r.ask(t, "udp", web, dns.TypeA); len(m.Answer) != 1 {
		t.Errorf("after bad input: %s", m)
	}
}

// TestCutTCPFrames opens connections that say more than they send. They must end by themselves.
func TestCutTCPFrames(t *testing.T) {
	up := startUpstream(t)
	r := start(t, cluster(t), strings.Replace(kubeadm(up.addr), "errors", "errors\n    timeouts {\n       read 1s\n       idle 1s\n    }", 1), nil)
	address := r.address(t, "tcp")
	question := new(dns.Msg)
	question.SetQuestion("web.default.svc.cluster.local.", dns.TypeA)
	packet, err := question.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for name, frame := range map[string][]byte{
		"nothing":             nil,
		"half a length":       {0},
		"a length alone":      {0xff, 0xff},
		"half of a question":  append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet[:len(packet)/2]...),
		"a length of nothing": {0, 0},
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if got, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") || len(got) > 0 {
			t.Errorf("%s: read %x, %v; want the end of the connection", name, got, err)
		}
		_ = conn.Close()
	}
	if m := r.ask(t, "tcp", "web.default.svc.cluster.local.", dns.TypeA); len(m.Answer) != 1 {
		t.Errorf("after cut frames: %s", m)
	}
}
