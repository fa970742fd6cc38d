package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// admitted counts how many of n requests of a client are let in.
func (s *site) admitted(n int, peer string) int {
	in := 0
	for range n {
		x := s.request("GET http://example.com/\nPeer: " + peer)
		if s.policy.Admit(x) {
			in++
		} else if x.Answer.Status != 503 || x.Answer.Reason != ReasonRate {
			s.t.Fatalf("answer %+v", x.Answer)
		}
		x.End()
	}
	return in
}

func TestRequestLimits(t *testing.T) {
	s := newSite(t, "/", "limit-rps: 2\nlimit-burst-multiplier: 3")
	if got := s.admitted(20, "192.0.2.1:1"); got != 7 { // the first, and a burst of 2 × 3
		t.Errorf("%d at once", got)
	}
	if got := s.admitted(1, "192.0.2.2:1"); got != 1 {
		t.Error("another client is limited by the first")
	}
	s.engine.now = s.engine.now.Add(time.Second)
	if got := s.admitted(20, "192.0.2.1:1"); got != 2 {
		t.Errorf("%d after a second", got)
	}
	s.engine.now = s.engine.now.Add(time.Hour)
	if got := s.admitted(20, "192.0.2.1:1"); got != 7 {
		t.Errorf("%d after an hour", got)
	}
}

func TestRequestLimitsAMinute(t *testing.T) {
	s := newSite(t, "/", "limit-rpm: 60")
	if got := s.admitted(400, "192.0.2.1:1"); got != 301 {
		t.Errorf("%d at once", got)
	}
	s.engine.now = s.engine.now.Add(10 * time.Second)
	if got := s.admitted(20, "192.0.2.1:1"); got != 10 {
		t.Errorf("%d after ten seconds", got)
	}
}

func TestBothLimits(t *testing.T) {
	s := newSite(t, "/", "limit-rps: 100\nlimit-rpm: 1\nlimit-burst-multiplier: 1")
	if got := s.admitted(20, "192.0.2.1:1"); got != 2 {
		t.Errorf("%d at once", got)
	}
	zone := s.state.zones.bucket(s.location.Ingress, "rps")
	shard := &zone.shards[shardOf(netip.MustParseAddr("192.0.2.1"))]
	if b, _ := shard.list.get(netip.MustParseAddr("192.0.2.1")); b.excess != 1000 {
		t.Errorf("requests that one limit refuses count for the other: %d", b.excess)
	}
}

func TestLimitsOutliveTables(t *testing.T) {
	s := newSite(t, "/", "limit-rps: 1")
	s.admitted(6, "192.0.2.1:1")
	other := newSite(t, "/other", "limit-rps: 1") // another location of the same Ingress, compiled later
	other.state = s.state
	if got := other.admitted(5, "192.0.2.1:1"); got != 0 {
		t.Errorf("%d more are let in at another path", got)
	}
	if s.policy == nil {
		t.Error("the zone lives as long as a policy that uses it")
	}
}

func TestLimitAllowlistAndCode(t *testing.T) {
	s := newSite(t, "/", "limit-rps: 1\nlimit-connections: 1\nlimit-allowlist: 192.0.2.0/24")
	if got := s.admitted(50, "192.0.2.1:1"); got != 50 {
		t.Errorf("%d of the allow list are let in", got)
	}
	s.location.Settings.Limits.Code = 429
	s.compiled = false
	var last Answer
	for range 10 {
		x := s.request("GET http://example.com/\nPeer: 198.51.100.1:1")
		s.policy.Admit(x)
		last = x.Answer
		x.End()
	}
	if last.Status != 429 {
		t.Errorf("status %d", last.Status)
	}
}

func TestConnectionLimit(t *testing.T) {
	s := newSite(t, "/", "limit-connections: 2")
	exchanges := []*Exchange{{}, {}, {}}
	var in []bool
	for _, x := range exchanges {
		s.x = x
		in = append(in, s.policyOf(x))
	}
	if fmt.Sprint(in) != "[true true false]" || exchanges[2].Answer.Reason != ReasonConnections {
		t.Errorf("let in: %v", in)
	}
	exchanges[2].End() // it has no place to free
	exchanges[0].End()
	s.x = &Exchange{}
	if !s.policyOf(s.x) {
		t.Error("a place that is free again is not given")
	}
	s.x = &Exchange{}
	if s.policyOf(s.x) {
		t.Error("a third request is let in")
	}
}

func (s *site) policyOf(x *Exchange) bool {
	s.request("GET http://example.com/")
	return s.policy.Admit(x)
}

func TestBoundedZones(t *testing.T) {
	z := newBucketZone()
	addr := netip.MustParseAddr("10.0.0.0")
	for range zoneEntries * 3 {
		z.take(addr, 1, 1000, 5000)
		addr = addr.Next()
	}
	held := 0
	for i := range z.shards {
		held += len(z.shards[i].list.index)
	}
	if held > zoneEntries || held < zoneEntries/2 {
		t.Errorf("%d addresses are held", held)
	}
}

func TestPacer(t *testing.T) {
	s := newSite(t, "/", "limit-rate: 1\nlimit-rate-after: 2")
	x := s.request("GET http://example.com/")
	s.policy.Admit(x)
	if x.Pacer.Rate != 1024 || x.Pacer.After != 2048 {
		t.Fatalf("%+v", x.Pacer)
	}
	now := s.engine.now
	var sent int
	for step := range 4000 { // 4 s
		at := now.Add(time.Duration(step) * time.Millisecond)
		for {
			n, wait := x.Pacer.Allow(700, at)
			if n == 0 {
				if wait <= 0 || wait > 2*time.Second {
					t.Fatalf("wait %v", wait)
				}
				break
			}
			x.Pacer.Sent(n)
			sent += n
		}
	}
	if want := 2048 + 4*1024; sent != want {
		t.Errorf("%d bytes in 4 s, want %d", sent, want)
	}
	var free Pacer
	if n, _ := free.Allow(1<<20, now); n != 1<<20 {
		t.Errorf("without a rate %d bytes may go", n)
	}
}

func TestLRU(t *testing.T) {
	l := lru[int, string]{limit: 3}
	for i := range 3 {
		v, known := l.get(i)
		if known {
			t.Fatal("known")
		}
		*v = fmt.Sprint(i)
	}
	l.peek(0) // 1 is the oldest now
	l.get(3)
	for key, want := range map[int]string{0: "0", 2: "2", 3: ""} {
		if v := l.peek(key); v == nil || *v != want {
			t.Errorf("%d: %v", key, v)
		}
	}
	if l.peek(1) != nil || len(l.index) != 3 || len(l.list) != 4 {
		t.Errorf("the oldest is kept: %+v", l)
	}
}
