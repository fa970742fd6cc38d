package balance

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

// resolver answers as its fields say, and counts what it is asked.
type resolver struct {
	mu    sync.Mutex
	list  []string
	ttl   time.Duration
	err   error
	asked int
	gate  chan struct{} // closed: answers at once
}

func (r *resolver) lookup(context.Context, string) ([]netip.Addr, time.Duration, error) {
	<-r.gate
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	var list []netip.Addr
	for _, a := range r.list {
		list = append(list, netip.MustParseAddr(a))
	}
	return list, r.ttl, r.err
}

func (r *resolver) set(err error, list ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.list = err, list
}

func open() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func TestExternalName(t *testing.T) {
	r := &resolver{ttl: 30 * time.Second, gate: open()}
	r.set(nil, "192.0.2.2", "127.0.0.1", "192.0.2.1", "::ffff:192.0.2.3", "::1", "0.0.0.0", "::ffff:127.8.8.8", "224.0.0.1")
	b := New(Config{Lookup: r.lookup})
	backend, pool := newBackend(1), &route.Pool{Name: "db.example", Port: 5432}
	now := time.Now()
	g := b.Group(backend, pool, now, inline)
	if g.Len() != 3 || g.endpoints[0].Addr.String() != "192.0.2.1:5432" || g.endpoints[2].Addr.String() != "192.0.2.3:5432" {
		t.Fatalf("endpoints %v", g.endpoints)
	}
	if b.Group(backend, pool, now.Add(20*time.Second), inline) != g || r.asked != 1 {
		t.Error("an answer is not kept for its time to live")
	}
	// The next answer is asked for while the last one is still in use.
	r.set(nil, "192.0.2.9")
	late := now.Add(40 * time.Second)
	if b.Group(backend, pool, late, inline) != g {
		t.Error("an expired answer is waited for")
	}
	eventually(t, func() bool {
		g := b.Group(backend, pool, now, inline)
		return g.Len() == 1 && g.endpoints[0].Addr.String() == "192.0.2.9:5432"
	})
	// Without an answer, the last one counts for a while.
	r.set(errors.New("no such host"))
	if g := b.Group(backend, pool, late.Add(time.Minute), inline); g.Len() != 1 {
		t.Error("an answer that cannot be renewed is lost")
	}
	eventually(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.asked >= 3 })
}

func TestExternalNameUnknown(t *testing.T) {
	r := &resolver{gate: open(), err: errors.New("no such host")}
	b := New(Config{Lookup: r.lookup})
	g := b.Group(newBackend(1), &route.Pool{Name: "none.example", Port: 1}, time.Now(), inline)
	if g.Len() != 0 || g.Pick(&Request{}, time.Now()) != nil {
		t.Error("a name without addresses has endpoints")
	}
}

// TestOneQuestion: all requests that need a name wait for one question.
func TestOneQuestion(t *testing.T) {
	r := &resolver{gate: make(chan struct{}), ttl: time.Minute, list: []string{"192.0.2.1"}}
	b := New(Config{Lookup: r.lookup})
	backend, pool := newBackend(1), &route.Pool{Name: "db.example", Port: 1}
	var wg sync.WaitGroup
	waiting := make(chan struct{}, 8)
	for range 8 {
		wg.Go(func() {
			g := b.Group(backend, pool, time.Now(), func(f func()) { waiting <- struct{}{}; f() })
			if g.Len() != 1 {
				t.Errorf("%d endpoints", g.Len())
			}
		})
	}
	for range 8 {
		<-waiting
	}
	close(r.gate)
	wg.Wait()
	if r.asked != 1 {
		t.Errorf("asked %d times", r.asked)
	}
}

func TestNamesAreBounded(t *testing.T) {
	r := &resolver{gate: open(), ttl: time.Hour, list: []string{"192.0.2.1"}}
	n := newNames(r.lookup)
	for i := range maxNames + 10 {
		n.lookup(string(rune('a'+i%26))+time.Duration(i).String(), time.Now(), inline)
	}
	if len(n.list) > maxNames {
		t.Errorf("%d names are kept", len(n.list))
	}
}

// eventually polls until ok holds.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come to be")
		}
	}
}
