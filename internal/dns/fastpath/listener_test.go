package fastpath

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/kernel/datagram"
)

const patience = 30 * time.Second

// coreDNS stands for CoreDNS: it answers every question with a TXT record, and counts.
type coreDNS struct {
	mu    sync.Mutex
	asked []string
	hold  chan struct{} // if set, answers wait for it
}

func (c *coreDNS) serve(w dns.ResponseWriter, r *dns.Msg) {
	c.mu.Lock()
	if len(r.Question) > 0 {
		c.asked = append(c.asked, r.Question[0].Name)
	}
	hold := c.hold
	c.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m := new(dns.Msg)
	m.SetReply(r)
	m.Answer = []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: r.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 30}, Txt: []string{w.RemoteAddr().String()},
	}}
	_ = w.WriteMsg(m)
}

// startListener returns a listener on loopback, before a socket that nobody reads.
func startListener(t *testing.T, target Target) (*Listener, string) {
	t.Helper()
	return startCounting(t, target, nil)
}

// startCounting is startListener with what is called for each packet that is dropped.
func startCounting(t *testing.T, target Target, dropped func()) (*Listener, string) {
	t.Helper()
	first, err := datagram.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	addr := first.LocalAddr().AddrPort()
	l, err := Listen(Config{Addr: addr, Sockets: 2, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Dropped: dropped}, target)
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return l, addr.String()
}

// exchange sends a packet and returns the answer; nil after a while: none.
func exchange(t *testing.T, addr string, packet []byte, wait time.Duration) *dns.Msg {
	t.Helper()
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(wait))
	buffer := make([]byte, dns.MaxMsgSize)
	n, err := conn.Read(buffer)
	if err != nil {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(buffer[:n]); err != nil {
		t.Fatalf("%v\n%x", err, buffer[:n])
	}
	return m
}

func TestListenerAnswersAndHandsOver(t *testing.T) {
	routes, core := clusterRoutes(t, nil), &coreDNS{}
	_, addr := startListener(t, Target{Routes: routes, Serve: core.serve})
	m := exchange(t, addr, packed(t, "web.default.svc.cluster.local.", dns.TypeA, nil), patience)
	if m == nil || len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "10.96.0.1" {
		t.Fatalf("answer of the table: %s", m)
	}
	m = exchange(t, addr, packed(t, "example.com.", dns.TypeTXT, nil), patience)
	if m == nil || len(m.Answer) != 1 {
		t.Fatalf("answer of CoreDNS: %s", m)
	}
	// It was kept: the next client gets what the first one got.
	again := exchange(t, addr, packed(t, "example.com.", dns.TypeTXT, nil), patience)
	if again == nil || again.Answer[0].(*dns.TXT).Txt[0] != m.Answer[0].(*dns.TXT).Txt[0] {
		t.Errorf("answer from the cache: %s", again)
	}
	core.mu.Lock()
	defer core.mu.Unlock()
	if len(core.asked) != 1 {
		t.Errorf("CoreDNS was asked %v", core.asked)
	}
}

func TestBadPackets(t *testing.T) {
	core := &coreDNS{}
	_, addr := startListener(t, Target{Routes: clusterRoutes(t, nil), Serve: core.serve})
	const web = "web.default.svc.cluster.local."
	for name, c := range map[string]struct {
		packet []byte
		rcode  int
	}{
		"two questions":  {packed(t, web, dns.TypeA, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), dns.RcodeFormatError},
		"no question":    {packed(t, web, dns.TypeA, func(m *dns.Msg) { m.Question = nil }), dns.RcodeFormatError},
		"an update":      {packed(t, web, dns.TypeA, func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), dns.RcodeNotImplemented},
		"opcode 14":      {packed(t, web, dns.TypeA, func(m *dns.Msg) { m.Opcode = 14 }), dns.RcodeNotImplemented},
		"a loop":         {[]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1}, dns.RcodeFormatError},
		"cut":            {packed(t, web, dns.TypeA, nil)[:25], dns.RcodeFormatError},
		"a label of 200": {append([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 200}, make([]byte, 210)...), dns.RcodeFormatError},
		"too long":       {append(packed(t, web, dns.TypeA, nil)[:headerLen], make([]byte, 3000)...), -1},
	} {
		m := exchange(t, addr, c.packet, patience)
		if m == nil || c.rcode >= 0 && (m.Rcode != c.rcode || !m.Response) {
			t.Errorf("%s: %s", name, m)
		}
	}
	// These get no answer; the good question after them shows that they were read.
	for name, packet := range map[string][]byte{"nothing": {}, "eleven bytes": make([]byte, 11), "an answer": packed(t, web, dns.TypeA, func(m *dns.Msg) { m.Response = true })} {
		if m := exchange(t, addr, packet, 100*time.Millisecond); m != nil {
			t.Errorf("%s was answered: %s", name, m)
		}
	}
	if m := exchange(t, addr, packed(t, web, dns.TypeA, nil), patience); m == nil {
		t.Error("no answer after bad packets")
	}
	core.mu.Lock()
	defer core.mu.Unlock()
	if len(core.asked) > 1 { // the long one parses
		t.Errorf("CoreDNS was asked %v", core.asked)
	}
}

func TestFloodIsBounded(t *testing.T) {
	core := &coreDNS{hold: make(chan struct{})}
	var dropped atomic.Int64
	l, addr := startCounting(t, Target{Routes: clusterRoutes(t, nil), Serve: core.serve}, func() { dropped.Add(1) })
	release := sync.OnceFunc(func() { close(core.hold) })
	t.Cleanup(release)
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packet := packed(t, "example.com.", dns.TypeANY, nil)
	for deadline := time.Now().Add(patience); dropped.Load() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("nothing was dropped")
		}
		for range 100 {
			_, _ = conn.Write(packet)
		}
	}
	if n := len(l.slots); n != MaxHandedOver {
		t.Errorf("%d questions under way, want %d", n, MaxHandedOver)
	}
	// The table goes on answering. A question may find the socket's queue full.
	for deadline := time.Now().Add(patience); ; {
		if m := exchange(t, addr, packed(t, "web.default.svc.cluster.local.", dns.TypeA, nil), time.Second); m != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no answer during a flood")
		}
	}
	release()
}

func TestTargetIsReplaced(t *testing.T) {
	first, second := &coreDNS{}, &coreDNS{}
	l, addr := startListener(t, Target{Routes: clusterRoutes(t, nil), Serve: first.serve})
	empty, err := NewRoutes([]Route{{Zone: "."}})
	if err != nil {
		t.Fatal(err)
	}
	l.Use(Target{Routes: empty, Serve: second.serve})
	m := exchange(t, addr, packed(t, "web.default.svc.cluster.local.", dns.TypeA, nil), patience)
	if m == nil || len(second.asked) != 1 || len(first.asked) != 0 {
		t.Errorf("answer %s; asked %v and %v", m, first.asked, second.asked)
	}
}

func TestCountsUnderCoreDNSNames(t *testing.T) {
	counts := NewCounts(2)
	routes := clusterRoutes(t, func(r *Route) { r.Counts = counts })
	_, addr := startListener(t, Target{Routes: routes, Serve: (&coreDNS{}).serve})
	for range 3 {
		exchange(t, addr, packed(t, "web.default.svc.cluster.local.", dns.TypeA, edns(1232, true)), patience)
	}
	exchange(t, addr, packed(t, "none.default.svc.cluster.local.", dns.TypeAAAA, nil), patience)
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewCollector(func() []Labelled { return []Labelled{{Server: "dns://test", Zone: ".", Counts: counts}} }))
	// The last duration is counted just after the last answer was sent.
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				if m.GetHistogram() != nil {
					got[family.GetName()] += float64(m.GetHistogram().GetSampleCount())
				} else {
					got[family.GetName()] += m.GetCounter().GetValue()
				}
			}
		}
		if got["coredns_dns_requests_total"] == 4 && got["coredns_dns_do_requests_total"] == 3 && got["coredns_dns_responses_total"] == 4 &&
			got["coredns_dns_request_duration_seconds"] == 4 && got["coredns_dns_request_size_bytes"] == 4 && got["coredns_dns_response_size_bytes"] == 4 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("counted %v", got)
		}
	}
}

func BenchmarkListener(b *testing.B) {
	first, err := datagram.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		b.Fatal(err)
	}
	defer first.Close()
	addr := first.LocalAddr().AddrPort()
	l, err := Listen(Config{Addr: addr, Log: slog.Default()}, Target{Routes: clusterRoutes(b, nil), Serve: (&coreDNS{}).serve})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close(context.Background()) }()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	packet, buffer := packed(b, "web.default.svc.cluster.local.", dns.TypeA, nil), make([]byte, 512)
	const window = 64
	b.ReportAllocs()
	for b.Loop() { // one round is a window of questions and their answers
		for range window {
			if _, err := conn.Write(packet); err != nil {
				b.Fatal(err)
			}
		}
		for range window {
			if _, err := conn.Read(buffer); err != nil {
				b.Fatal(err)
			}
		}
	}
}
