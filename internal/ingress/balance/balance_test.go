package balance

import (
	"fmt"
	"math"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

var start = time.Unix(1_700_000_000, 0)

func inline(f func()) { f() }

func newBackend(id uint32) *route.Backend {
	return &route.Backend{Key: route.Key{Service: model.Ref{Namespace: "default", Name: "web"}, Number: 80}, ID: id}
}

// poolOf has n endpoints: 10.0.0.1:80 and so on.
func poolOf(n int) *route.Pool {
	p := &route.Pool{}
	addr := netip.MustParseAddr("10.0.0.0")
	for range n {
		addr = addr.Next()
		p.Endpoints = append(p.Endpoints, route.Endpoint{Addr: netip.AddrPortFrom(addr, 80)})
	}
	return p
}

// user is a location that balances in its way.
type user struct {
	*Group
	upstream settings.Upstream
}

func newGroupOf(t *testing.T, upstream settings.Upstream, n int) user {
	t.Helper()
	return user{New(Config{}).Group(newBackend(1), poolOf(n), start, inline), upstream}
}

// one picks an endpoint for a new request.
func one(g user, key string, now time.Time) *Endpoint {
	return g.Pick(&Request{Key: []byte(key), Upstream: &g.upstream}, now)
}

func TestLeastRequests(t *testing.T) {
	g := newGroupOf(t, settings.Upstream{}, 10)
	var worst int64
	for range 1000 { // none of them ends
		e := one(g, "", start)
		e.Begin()
		worst = max(worst, e.InFlight())
	}
	if worst > 110 {
		t.Errorf("%d of 1000 requests are at one of 10 endpoints", worst)
	}
}

func TestLeastRequestsAvoidsTheSlowOne(t *testing.T) {
	g := newGroupOf(t, settings.Upstream{}, 4)
	slow := g.endpoints[2]
	for range 50 {
		slow.Begin()
	}
	for range 1000 {
		if one(g, "", start) == slow {
			t.Fatal("a busy endpoint is chosen though each of the others is better")
		}
	}
}

func TestRoundRobin(t *testing.T) {
	b := New(Config{})
	backend, upstream := newBackend(1), settings.Upstream{Balance: settings.RoundRobin}
	g := user{b.Group(backend, poolOf(3), start, inline), upstream}
	for i := range 9 {
		if e := one(g, "", start); e != g.endpoints[i%3] {
			t.Errorf("request %d goes to %v", i, e.Addr)
		}
	}
	one(g, "", start)
	if g.Group = b.Group(backend, poolOf(4), start, inline); one(g, "", start) != g.endpoints[10%4] {
		t.Error("a change of the pool begins the round anew")
	}
}

func TestEWMA(t *testing.T) {
	b := New(Config{})
	backend, upstream := newBackend(1), settings.Upstream{Balance: settings.EWMA}
	g := user{b.Group(backend, poolOf(2), start, inline), upstream}
	one(g, "", start)
	for i, took := range []time.Duration{time.Second, time.Millisecond} {
		g.endpoints[i].Begin()
		g.End(g.endpoints[i], OK, took, start)
	}
	now := start.Add(time.Second)
	for range 100 {
		if one(g, "", now) != g.endpoints[1] {
			t.Fatal("the slower endpoint is chosen")
		}
	}
	g.Group = b.Group(backend, poolOf(3), now, inline)
	fresh, slow := g.endpoints[2], g.endpoints[0]
	average := (slow.score(start) + g.endpoints[1].score(start)) / 2
	if got := math.Float64frombits(fresh.average.Load()); math.Abs(got-average) > 1e-9 {
		t.Errorf("a new endpoint begins with %v, the average is %v", got, average)
	}
	if before, after := slow.score(now), slow.score(now.Add(30*time.Second)); after > before/10 {
		t.Errorf("an old average keeps its weight: %v after %v", after, before)
	}
}

func TestTries(t *testing.T) {
	for name, upstream := range map[string]settings.Upstream{
		"least requests": {}, "round robin": {Balance: settings.RoundRobin}, "ewma": {Balance: settings.EWMA}, "hash": {HashBy: "$a"},
		"subset": {HashBy: "$a", HashSubset: 3},
	} {
		for n := range 6 {
			g := newGroupOf(t, upstream, n)
			r := &Request{Upstream: &upstream}
			if upstream.HashBy != "" {
				r.Key = []byte("key")
			}
			seen := map[*Endpoint]bool{}
			for range n {
				e := g.Pick(r, start)
				if e == nil || seen[e] {
					t.Fatalf("%s, %d endpoints: %v after %v", name, n, e, seen)
				}
				seen[e] = true
			}
			if e := g.Pick(r, start); e != nil {
				t.Errorf("%s, %d endpoints: one more: %v", name, n, e.Addr)
			}
			if r.Tries() != n {
				t.Errorf("%d tries", r.Tries())
			}
			r.Reset()
			if n > 0 && g.Pick(r, start) == nil {
				t.Errorf("%s: nothing for another request", name)
			}
		}
	}
}

func fail(g user, e *Endpoint, times int, now time.Time) {
	for range times {
		e.Begin()
		g.End(e, Failed, 0, now)
	}
}

func TestEjection(t *testing.T) {
	g := newGroupOf(t, settings.Upstream{}, 4)
	bad := g.endpoints[0]
	fail(g, bad, 2, start)
	if bad.ejected(start) {
		t.Fatal("ejected after two failures")
	}
	bad.Begin()
	g.End(bad, OK, 0, start)
	fail(g, bad, 2, start)
	if bad.ejected(start) {
		t.Fatal("a success in between does not count")
	}
	bad.Begin()
	g.End(bad, Canceled, 0, start)
	fail(g, bad, 1, start)
	if !bad.ejected(start) || bad.InFlight() != 0 {
		t.Fatal("not ejected after three failures in a row")
	}
	for range 200 {
		if one(g, "", start) == bad {
			t.Fatal("an ejected endpoint is chosen")
		}
	}
	// Each ejection that follows without a success is twice as long, up to the bound.
	now := start
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		end := now.Add(want * time.Second)
		if !bad.ejected(end.Add(-time.Nanosecond)) || bad.ejected(end) {
			t.Fatalf("not ejected for %d s", want)
		}
		now = end
		fail(g, bad, 1, now)
	}
	now = now.Add(time.Minute)
	bad.Begin()
	g.End(bad, OK, 0, now)
	fail(g, bad, 3, now)
	if bad.ejected(now.Add(time.Second)) {
		t.Error("a success does not begin anew")
	}
}

func TestEjectionLeavesHalf(t *testing.T) {
	for n, want := range map[int]int{1: 0, 2: 1, 3: 1, 4: 2, 5: 2, 10: 5} {
		g := newGroupOf(t, settings.Upstream{}, n)
		for _, e := range g.endpoints {
			fail(g, e, 5, start)
		}
		out := 0
		for _, e := range g.endpoints {
			if e.ejected(start) {
				out++
			}
		}
		if out != want {
			t.Errorf("%d of %d are ejected, want %d", out, n, want)
		}
		if one(g, "", start) == nil {
			t.Errorf("no endpoint of %d is left", n)
		}
	}
}

// TestEjectedAreTheLastResort: when a request has tried all others, ejected endpoints are better than nothing.
func TestEjectedAreTheLastResort(t *testing.T) {
	for name, upstream := range map[string]settings.Upstream{"least requests": {}, "round robin": {Balance: settings.RoundRobin}, "hash": {HashBy: "a"}} {
		g := newGroupOf(t, upstream, 2)
		fail(g, g.endpoints[0], 3, start)
		r := &Request{Upstream: &upstream}
		if upstream.HashBy != "" {
			r.Key = []byte("k")
		}
		first, second := g.Pick(r, start), g.Pick(r, start)
		if first != g.endpoints[1] || second != g.endpoints[0] {
			t.Errorf("%s: %v, then %v", name, first, second)
		}
	}
}

func TestHash(t *testing.T) {
	const keys = 10000
	b := New(Config{})
	backend := newBackend(1)
	before := user{Group: b.Group(backend, poolOf(10), start, inline)}
	at := map[string]netip.AddrPort{}
	count := map[netip.AddrPort]int{}
	for i := range keys {
		key := fmt.Sprint("key", i)
		e := one(before, key, start)
		at[key] = e.Addr
		count[e.Addr]++
	}
	for addr, n := range count {
		if n < keys/10*6/10 || n > keys/10*14/10 {
			t.Errorf("%v has %d of %d keys", addr, n, keys)
		}
	}
	after := user{Group: b.Group(backend, poolOf(11), start, inline)}
	moved := 0
	for key, addr := range at {
		if e := one(after, key, start); e.Addr != addr {
			moved++
			if e.Addr != netip.MustParseAddrPort("10.0.0.11:80") {
				t.Fatalf("key %s moves from %v to %v, which is not new", key, addr, e.Addr)
			}
		}
	}
	if moved > keys/11*15/10 {
		t.Errorf("%d keys move to the new endpoint", moved)
	}
}

// TestHashIsTheSameEverywhere: replicas of an entry have to agree.
func TestHashIsTheSameEverywhere(t *testing.T) {
	g := newGroupOf(t, settings.Upstream{HashBy: "$a"}, 5)
	if got := one(g, "alice", start).Addr.String() + " " + one(g, "bob", start).Addr.String(); got != "10.0.0.5:80 10.0.0.3:80" {
		t.Errorf("alice and bob are at %s", got)
	}
}

func TestHashSubset(t *testing.T) {
	g := newGroupOf(t, settings.Upstream{HashBy: "$a", HashSubset: 3}, 10)
	all := map[*Endpoint]bool{}
	for key := range 20 {
		seen := map[*Endpoint]bool{}
		for range 200 {
			e := one(g, fmt.Sprint(key), start)
			seen[e], all[e] = true, true
		}
		if len(seen) != 3 {
			t.Errorf("key %d uses %d endpoints", key, len(seen))
		}
	}
	if len(all) < 8 {
		t.Errorf("only %d endpoints are used", len(all))
	}
}

func TestStateOutlivesPools(t *testing.T) {
	b := New(Config{})
	backend := newBackend(1)
	pool := poolOf(3)
	g := b.Group(backend, pool, start, inline)
	if b.Group(backend, pool, start, inline) != g {
		t.Error("the same pool is another group")
	}
	elsewhere := newBackend(1)
	elsewhere.Upstream = &settings.Upstream{Balance: settings.RoundRobin}
	if b.Group(elsewhere, pool, start, inline) != g {
		t.Error("two locations that balance otherwise have a group each")
	}
	kept, lost := g.endpoints[0], g.endpoints[2]
	kept.Begin()
	other := b.Group(newBackend(2), poolOf(1), start, inline)
	if other.endpoints[0] != kept {
		t.Error("two backends with one pod do not share what is known of it")
	}
	next := b.Group(backend, poolOf(2), start, inline)
	if next.endpoints[0] != kept || kept.InFlight() != 1 || kept.Gone() || !lost.Gone() {
		t.Error("a change of the pool forgets endpoints, or does not")
	}
	far := b.Group(newBackend(5000), poolOf(1), start, inline)
	b.Sweep(func(id uint32) bool { return id != 1 })
	if kept.Gone() || b.group(1) != nil || b.group(5000) != far {
		t.Error("not just one backend is gone")
	}
	b.Sweep(func(uint32) bool { return false })
	b.Sweep(func(uint32) bool { return false })
	if !kept.Gone() || len(b.endpoints) != 0 {
		t.Error("an endpoint that nobody has is kept")
	}
	again := b.Group(backend, poolOf(3), start, inline)
	numbers := map[uint32]bool{}
	for _, e := range again.endpoints {
		numbers[e.Number] = true
		if e.Number > 2 || e.Gone() {
			t.Errorf("endpoint %+v", e.Addr)
		}
	}
	if len(numbers) != 3 {
		t.Errorf("numbers %v", numbers)
	}
}

func TestConcurrently(t *testing.T) {
	b := New(Config{})
	backend := newBackend(1)
	pools := []*route.Pool{poolOf(3), poolOf(5), poolOf(0)}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			r := &Request{}
			for i := range 2000 {
				g := b.Group(backend, pools[(i/100+worker)%3], start, inline)
				if e := g.Pick(r, start); e != nil {
					e.Begin()
					g.End(e, Outcome(i%4), time.Millisecond, start)
				}
				r.Reset()
			}
		})
	}
	wg.Wait()
	for _, e := range b.Group(backend, pools[1], start, inline).endpoints {
		if e.InFlight() != 0 {
			t.Errorf("%v has %d requests in flight", e.Addr, e.InFlight())
		}
	}
}

func BenchmarkPick(b *testing.B) {
	balancer := New(Config{})
	backend, pool := newBackend(1), poolOf(10)
	b.ReportAllocs()
	r := &Request{}
	for b.Loop() {
		g := balancer.Group(backend, pool, start, inline)
		e := g.Pick(r, start)
		e.Begin()
		g.End(e, OK, time.Millisecond, start)
		r.Reset()
	}
}
