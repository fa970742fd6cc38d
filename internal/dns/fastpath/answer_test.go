package fastpath

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/kernel/datagram"
)

// worker1 returns a worker whose turns are always the same.
func worker1() *worker { return &worker{random: rand.NewPCG(1, 2)} }

// reply returns the answer to a packet; nil: it is CoreDNS's.
func reply(t *testing.T, routes *Routes, packet []byte) *dns.Msg {
	t.Helper()
	room := make([]byte, datagram.MaxReply)
	n, _ := worker1().answer(routes, packet, room, time.Now())
	if n == 0 {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(room[:n]); err != nil {
		t.Fatalf("the answer does not parse: %v\n%x", err, room[:n])
	}
	return m
}

func TestAnswersPlainQuestions(t *testing.T) {
	routes := clusterRoutes(t, func(r *Route) { r.Rotate = false })
	for _, c := range []struct {
		name   string
		qtype  uint16
		change func(*dns.Msg)
		rcode  int
		want   []string
	}{
		{name: "web.default.svc.cluster.local.", qtype: dns.TypeA, want: []string{"web.default.svc.cluster.local.\t30\tIN\tA\t10.96.0.1"}},
		{name: "Web.DEFAULT.svc.Cluster.Local.", qtype: dns.TypeA, want: []string{"Web.DEFAULT.svc.Cluster.Local.\t30\tIN\tA\t10.96.0.1"}},
		{name: "web.default.svc.cluster.local.", qtype: dns.TypeAAAA, change: edns(1232, false), want: []string{"web.default.svc.cluster.local.\t30\tIN\tAAAA\tfd00:10:96::1"}},
		{name: "_http._tcp.web.default.svc.cluster.local.", qtype: dns.TypeSRV, want: []string{"_http._tcp.web.default.svc.cluster.local.\t30\tIN\tSRV\t0 50 80 web.default.svc.cluster.local."}},
		{name: "1.0.96.10.in-addr.arpa.", qtype: dns.TypePTR, want: []string{"1.0.96.10.in-addr.arpa.\t30\tIN\tPTR\tweb.default.svc.cluster.local."}},
		{name: "none.default.svc.cluster.local.", qtype: dns.TypeA, rcode: dns.RcodeNameError},
		{name: "web.default.svc.cluster.local.", qtype: dns.TypeMX},
	} {
		t.Run(c.name+" "+dns.TypeToString[c.qtype], func(t *testing.T) {
			m := reply(t, routes, packed(t, c.name, c.qtype, c.change))
			if m == nil {
				t.Fatal("left to CoreDNS")
			}
			var got []string
			for _, rr := range m.Answer {
				got = append(got, rr.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" || m.Rcode != c.rcode {
				t.Errorf("rcode %d, want %d; answer (-want +got):\n%s", m.Rcode, c.rcode, diff)
			}
			if !m.Authoritative || !m.Response || m.RecursionAvailable || !m.RecursionDesired {
				t.Errorf("header %+v", m.MsgHdr)
			}
			if (m.IsEdns0() != nil) != (c.change != nil) {
				t.Errorf("OPT: %v", m.IsEdns0())
			}
		})
	}
}

func TestLeavesTheRestToCoreDNS(t *testing.T) {
	routes := clusterRoutes(t, nil)
	const web = "web.default.svc.cluster.local."
	for name, packet := range map[string][]byte{
		"another zone":      packed(t, "example.com.", dns.TypeA, nil),
		"ANY":               packed(t, web, dns.TypeANY, nil),
		"AXFR":              packed(t, "cluster.local.", dns.TypeAXFR, nil),
		"DS":                packed(t, "cluster.local.", dns.TypeDS, nil),
		"class CH":          packed(t, web, dns.TypeA, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
		"NOTIFY":            packed(t, web, dns.TypeA, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }),
		"an answer":         packed(t, web, dns.TypeA, func(m *dns.Msg) { m.Response = true }),
		"two questions":     packed(t, web, dns.TypeA, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }),
		"an EDNS option":    packed(t, web, dns.TypeA, func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{}} }),
		"EDNS version 1":    packed(t, web, dns.TypeA, func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }),
		"a falling name":    packed(t, "1.2.0.192.in-addr.arpa.", dns.TypePTR, nil),
		"trailing bytes":    append(packed(t, web, dns.TypeA, nil), 0),
		"nothing":           nil,
		"a header":          make([]byte, headerLen),
		"cut in the name":   packed(t, web, dns.TypeA, nil)[:20],
		"cut in the type":   packed(t, web, dns.TypeA, nil)[:headerLen+len(web)+2],
		"a name that loops": {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1},
	} {
		if m := reply(t, routes, packet); m != nil {
			t.Errorf("%s was answered:\n%s", name, m)
		}
	}
}

func TestKeptDenials(t *testing.T) {
	routes := clusterRoutes(t, func(r *Route) { r.KeepDenials = true })
	if m := reply(t, routes, packed(t, "example.com.default.svc.cluster.local.", dns.TypeA, nil)); m != nil {
		t.Errorf("a name that autopath goes on with was answered:\n%s", m)
	}
	if m := reply(t, routes, packed(t, "web.default.svc.cluster.local.", dns.TypeA, nil)); m == nil {
		t.Error("a name that exists was left to CoreDNS")
	}
}

func TestSizes(t *testing.T) {
	routes := clusterRoutes(t, nil)
	const many = "many.default.svc.cluster.local."
	for _, c := range []struct {
		change    func(*dns.Msg)
		buffer    uint16
		truncated bool
		limit     int
	}{
		{change: nil, truncated: true, limit: 512},
		{change: edns(100, false), truncated: true, limit: 512},
		{change: edns(1232, false), truncated: true, limit: 1232},
		{change: edns(4096, false), limit: 4096},
		{change: edns(4096, true), buffer: 1232, truncated: true, limit: 1232},
		{change: edns(65535, false), limit: 4096},
	} {
		r := *routes
		r.routes = append([]route(nil), routes.routes...)
		r.routes[0].BufferSize = c.buffer
		m := reply(t, &r, packed(t, many, dns.TypeA, c.change))
		if m == nil {
			t.Fatalf("limit %d: left to CoreDNS", c.limit)
		}
		m.Compress = true
		if m.Truncated != c.truncated || m.Len() > c.limit || !c.truncated && len(m.Answer) != 100 {
			t.Errorf("limit %d: truncated %t, %d bytes, %d answers", c.limit, m.Truncated, m.Len(), len(m.Answer))
		}
		// One more record would not have fit.
		if c.truncated && m.Len()+16 <= c.limit {
			t.Errorf("limit %d: only %d bytes used", c.limit, m.Len())
		}
	}
}

func TestRotation(t *testing.T) {
	routes := clusterRoutes(t, nil)
	packet := packed(t, "db.default.svc.cluster.local.", dns.TypeA, nil)
	w, room, first := worker1(), make([]byte, datagram.MaxReply), map[string]int{}
	for range 300 {
		n, _ := w.answer(routes, packet, room, time.Now())
		m := new(dns.Msg)
		if err := m.Unpack(room[:n]); err != nil || len(m.Answer) != 3 {
			t.Fatal(err, m)
		}
		first[m.Answer[0].(*dns.A).A.String()]++
	}
	for addr, times := range first {
		if times < 60 {
			t.Errorf("%s was first %d times of 300", addr, times)
		}
	}
	if len(first) != 3 {
		t.Errorf("first addresses: %v", first)
	}
}

func TestLongestZoneDecides(t *testing.T) {
	zones := clusterZones(t)
	routes, err := NewRoutes([]Route{{Zone: "."}, {Zone: "cluster.local.", Answers: zones}, {Zone: "default.svc.cluster.local."}})
	if err != nil {
		t.Fatal(err)
	}
	for name, answered := range map[string]bool{
		"web.default.svc.cluster.local.": false, "x.other.svc.cluster.local.": true, "example.com.": false, "cluster.local.": true,
	} {
		if got := reply(t, routes, packed(t, name, dns.TypeA, nil)) != nil; got != answered {
			t.Errorf("%s: answered %t, want %t", name, got, answered)
		}
	}
	if within([]byte("\x08xcluster\x00"), []byte("\x07cluster\x00")) {
		t.Error("a zone must begin at a label")
	}
	// A label whose bytes look like the zone is no label of the zone.
	if within([]byte("\x0a\x01a\x07cluster\x00"), []byte("\x07cluster\x00")) {
		t.Error("a label's own bytes were taken for labels")
	}
	if _, err := NewRoutes([]Route{{Zone: "a."}, {Zone: "A."}}); err == nil {
		t.Error("two routes for one zone were accepted")
	}
}

func TestAnswerAllocatesNothing(t *testing.T) {
	routes := clusterRoutes(t, nil)
	w, room := worker1(), make([]byte, datagram.MaxReply)
	now := time.Now()
	for _, c := range []struct {
		name  string
		qtype uint16
	}{
		{"web.default.svc.cluster.local.", dns.TypeA},
		{"many.default.svc.cluster.local.", dns.TypeA},
		{"_http._tcp.db.default.svc.cluster.local.", dns.TypeSRV},
		{"none.default.svc.cluster.local.", dns.TypeAAAA},
		{"1.0.96.10.in-addr.arpa.", dns.TypePTR},
	} {
		packet := packed(t, c.name, c.qtype, edns(4096, false))
		if allocs := testing.AllocsPerRun(100, func() {
			if n, r := w.answer(routes, packet, room, now); n == 0 || r == nil {
				t.Fatal("left to CoreDNS")
			}
		}); allocs > 0 {
			t.Errorf("%s: %v allocations", c.name, allocs)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	routes := clusterRoutes(b, nil)
	for _, c := range []struct {
		name  string
		qtype uint16
	}{
		{"web.default.svc.cluster.local.", dns.TypeA},
		{"db.default.svc.cluster.local.", dns.TypeA},
		{"many.default.svc.cluster.local.", dns.TypeA},
		{"_http._tcp.web.default.svc.cluster.local.", dns.TypeSRV},
		{"none.default.svc.cluster.local.", dns.TypeA},
	} {
		b.Run(fmt.Sprintf("%s/%s", strings.SplitN(c.name, ".", 2)[0], dns.TypeToString[c.qtype]), func(b *testing.B) {
			packet := packed(b, c.name, c.qtype, edns(1232, false))
			w, room, now := worker1(), make([]byte, datagram.MaxReply), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				w.answer(routes, packet, room, now)
			}
		})
	}
}

func FuzzQuery(f *testing.F) {
	f.Add(packed(f, "web.default.svc.cluster.local.", dns.TypeA, nil))
	f.Add(packed(f, "WEB.default.svc.cluster.local.", dns.TypeSRV, edns(1232, true)))
	f.Add([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1})
	routes := clusterRoutes(f, nil)
	f.Fuzz(func(t *testing.T, packet []byte) {
		var q query
		room := make([]byte, datagram.MaxReply)
		n, _ := worker1().answer(routes, packet, room, time.Now())
		if !q.parse(packet) {
			if n != 0 {
				t.Fatal("answered what is no question")
			}
			return
		}
		// What we take for a question, miekg/dns reads as the same one.
		m := new(dns.Msg)
		if err := m.Unpack(packet); err != nil {
			t.Fatalf("no message: %v", err)
		}
		wire, err := wireName(m.Question[0].Name)
		if err != nil || !cmp.Equal(wire, q.lookupName()) || m.Question[0].Qtype != q.qtype {
			t.Fatalf("name %x type %d, want %x (%v) type %d", q.lookupName(), q.qtype, wire, err, m.Question[0].Qtype)
		}
		if o := m.IsEdns0(); (o != nil) != q.edns || o != nil && o.UDPSize() != q.size {
			t.Fatalf("OPT %v, read as %t, %d", o, q.edns, q.size)
		}
		if n > 0 && new(dns.Msg).Unpack(room[:n]) != nil {
			t.Fatal("the answer does not parse")
		}
	})
}
