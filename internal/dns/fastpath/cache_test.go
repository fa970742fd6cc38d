package fastpath

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/kernel/datagram"
)

// message returns an answer of CoreDNS's to a question.
func message(t *testing.T, name string, qtype uint16, rcode int, answers, authorities []string) *dns.Msg {
	t.Helper()
	question := new(dns.Msg)
	question.SetQuestion(name, qtype)
	m := new(dns.Msg)
	m.SetRcode(question, rcode)
	m.RecursionAvailable = true
	for _, s := range answers {
		m.Answer = append(m.Answer, record(t, s))
	}
	for _, s := range authorities {
		m.Ns = append(m.Ns, record(t, s))
	}
	return m
}

func record(t *testing.T, s string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

// askAt returns the kept answer to a packet some time after now; nil: CoreDNS is asked.
func askAt(t *testing.T, routes *Routes, packet []byte, when time.Time) *dns.Msg {
	t.Helper()
	room := make([]byte, datagram.MaxReply)
	n, _ := worker1().answer(routes, packet, room, when)
	if n == 0 {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(room[:n]); err != nil {
		t.Fatalf("%v\n%x", err, room[:n])
	}
	return m
}

func TestKeptAnswersAgeAndExpire(t *testing.T) {
	routes := clusterRoutes(t, func(r *Route) { r.Rotate = false })
	m := message(t, "www.example.com.", dns.TypeA, dns.RcodeSuccess, []string{
		"www.example.com. 30 IN CNAME web.example.com.", "web.example.com. 20 IN A 192.0.2.1", "web.example.com. 20 IN A 192.0.2.2",
	}, nil)
	m.SetEdns0(1232, false)
	packet := packed(t, "WWW.example.com.", dns.TypeA, edns(1400, false))
	if askAt(t, routes, packet, time.Now()) != nil {
		t.Fatal("answered before anything was kept")
	}
	routes.keep(m)
	now := time.Now()
	got := askAt(t, routes, packet, now.Add(5*time.Second))
	if got == nil {
		t.Fatal("nothing was kept")
	}
	var records []string
	for _, rr := range got.Answer {
		rr.Header().Ttl -= rr.Header().Ttl % 2 // a second may have begun
		records = append(records, rr.String())
	}
	want := []string{
		"WWW.example.com.\t14\tIN\tCNAME\tweb.example.com.", "web.example.com.\t14\tIN\tA\t192.0.2.1", "web.example.com.\t14\tIN\tA\t192.0.2.2",
	}
	if diff := cmp.Diff(want, records); diff != "" {
		t.Error(diff)
	}
	if got.Authoritative || !got.RecursionAvailable || got.IsEdns0().UDPSize() != 1400 {
		t.Errorf("header and OPT: %s", got)
	}
	if askAt(t, routes, packet, now.Add(21*time.Second)) != nil {
		t.Error("an expired answer was given")
	}
	if askAt(t, routes, packed(t, "www.example.com.", dns.TypeAAAA, nil), now) != nil {
		t.Error("the answer was given for another type")
	}
}

func TestWhatIsKept(t *testing.T) {
	soa := []string{"example.com. 60 IN SOA ns.example.com. admin.example.com. 1 2 3 4 5"}
	a := []string{"a.example.com. 60 IN A 192.0.2.1"}
	for name, c := range map[string]struct {
		m    *dns.Msg
		ask  func(*dns.Msg)
		kept bool
	}{
		"an answer":                   {m: message(t, "a.example.com.", dns.TypeA, 0, a, nil), kept: true},
		"a denial with its SOA":       {m: message(t, "a.example.com.", dns.TypeA, dns.RcodeNameError, nil, soa), kept: true},
		"no data with its SOA":        {m: message(t, "a.example.com.", dns.TypeAAAA, 0, nil, soa), kept: true},
		"a denial without":            {m: message(t, "a.example.com.", dns.TypeA, dns.RcodeNameError, nil, nil)},
		"an alias that leads nowhere": {m: message(t, "a.example.com.", dns.TypeA, 0, []string{"a.example.com. 60 IN CNAME b.example.com."}, nil)},
		"a failure":                   {m: message(t, "a.example.com.", dns.TypeA, dns.RcodeServerFailure, nil, nil)},
		"a refusal":                   {m: message(t, "a.example.com.", dns.TypeA, dns.RcodeRefused, nil, nil)},
		"no time to live":             {m: message(t, "a.example.com.", dns.TypeA, 0, []string{"a.example.com. 0 IN A 192.0.2.1"}, nil)},
		"of the cluster":              {m: message(t, "x.cluster.local.", dns.TypeA, 0, []string{"x.cluster.local. 60 IN A 192.0.2.1"}, nil)},
		"a success where none is":     {m: message(t, "a.plain.test.", dns.TypeA, 0, []string{"a.plain.test. 60 IN A 192.0.2.1"}, nil)},
		"a denial there":              {m: message(t, "a.plain.test.", dns.TypeA, dns.RcodeNameError, nil, soa), kept: true},
		"for those who check":         {m: message(t, "a.example.com.", dns.TypeA, 0, a, nil), ask: func(m *dns.Msg) { m.CheckingDisabled = true }},
		"for those who want DNSSEC":   {m: message(t, "a.example.com.", dns.TypeA, 0, a, nil), ask: edns(1232, true)},
	} {
		routes := clusterRoutes(t, func(r *Route) {
			var err error
			r.Cache, err = NewCache(CacheConfig{Zones: []string{"."}, NoSuccess: []string{"plain.test."}, Exclude: []string{"cluster.local."}})
			if err != nil {
				t.Fatal(err)
			}
			r.Answers = clusterZones(t)
		})
		routes.keep(c.m)
		packet := packed(t, c.m.Question[0].Name, c.m.Question[0].Qtype, c.ask)
		got := askAt(t, routes, packet, time.Now())
		if kept := got != nil && (len(got.Answer) > 0 || got.Rcode != dns.RcodeNameError || !got.Authoritative); kept != c.kept {
			t.Errorf("%s: kept %t, want %t", name, kept, c.kept)
		}
	}
}

func TestKeptAddressesTakeTurns(t *testing.T) {
	routes := clusterRoutes(t, nil)
	routes.keep(message(t, "www.example.com.", dns.TypeA, 0, []string{
		"www.example.com. 60 IN A 192.0.2.1", "www.example.com. 60 IN A 192.0.2.2", "www.example.com. 60 IN A 192.0.2.3",
	}, []string{"example.com. 60 IN NS ns.example.com."}))
	w, room, first := worker1(), make([]byte, datagram.MaxReply), map[string]int{}
	packet := packed(t, "www.example.com.", dns.TypeA, nil)
	for range 300 {
		n, _ := w.answer(routes, packet, room, time.Now())
		m := new(dns.Msg)
		if err := m.Unpack(room[:n]); err != nil || len(m.Answer) != 3 || len(m.Ns) != 1 {
			t.Fatal(err, m)
		}
		first[m.Answer[0].(*dns.A).A.String()]++
	}
	if len(first) != 3 {
		t.Errorf("first addresses: %v", first)
	}
}

func TestCacheIsBounded(t *testing.T) {
	cache, err := NewCache(CacheConfig{Zones: []string{"."}, Size: 160})
	if err != nil {
		t.Fatal(err)
	}
	routes, err := NewRoutes([]Route{{Zone: ".", Cache: cache}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		name := fmt.Sprintf("n%d.example.com.", i)
		routes.keep(message(t, name, dns.TypeA, 0, []string{name + " 60 IN A 192.0.2.1"}, nil))
	}
	total := 0
	for i := range cache.shards {
		total += len(cache.shards[i].entries)
	}
	if total > 160 || total < 100 {
		t.Errorf("%d entries, want about 160 at most", total)
	}
}
