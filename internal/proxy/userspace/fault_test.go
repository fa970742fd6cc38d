package userspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// TestSuccessor starts a second backend while the first has a connection: new ones go through the second at once, and
// the first ends when its last one has ended.
func TestSuccessor(t *testing.T) {
	w := newWorld(t)
	c, err := w.client.Dial(t.Context(), "tcp", netip.MustParseAddrPort(virtualAddress))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first, err := say(c)
	if err != nil {
		t.Fatal(err)
	}
	w.backend.config.Drain = 50 * time.Millisecond // without a successor it would cut the connection soon
	next := newBackend(t, w.node, Config{})
	w.sync(next)
	before := w.backend.Stats().Accepted
	w.expectBoth("through the successor")
	if after := w.backend.Stats().Accepted; after != before {
		t.Errorf("%d connections went through the predecessor", after-before)
	}
	closed := make(chan error, 1)
	go func() { closed <- w.backend.Close() }()
	for start := time.Now(); time.Since(start) < 5*w.backend.config.Drain; {
		if again, err := say(c); again != first {
			t.Fatalf("the established connection: answered by %q, %v; want %s", again, err, first)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Errorf("the predecessor does not end: %+v", w.backend.Stats())
	}
	w.expectBoth("after the predecessor's end")
}

// TestSuccessorOfAnotherMode: while another process asks whether this one still relays, it does until its last connection
// has ended; then, and where nobody asks, it does not.
func TestSuccessorOfAnotherMode(t *testing.T) {
	t.Run("asks", func(t *testing.T) { testDrain(t, true) })
	t.Run("does not", func(t *testing.T) { testDrain(t, false) })
}

func testDrain(t *testing.T, asked bool) {
	w := newWorld(t)
	c, err := w.client.Dial(t.Context(), "tcp", netip.MustParseAddrPort(virtualAddress))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := say(c); err != nil {
		t.Fatal(err)
	}
	w.backend.config.Drain = time.Second
	other := newBackend(t, w.node, Config{})
	closed := make(chan error, 1)
	go func() { closed <- w.backend.Close() }()
	for start := time.Now(); asked && time.Since(start) < 3*w.backend.config.Drain; time.Sleep(50 * time.Millisecond) {
		if left, err := other.Retire(t.Context()); left != 1 || err != nil {
			t.Fatalf("asked whether it relays: %d, %v", left, err)
		}
		if _, err := say(c); err != nil {
			t.Fatalf("the established connection: %v", err)
		}
	}
	if asked {
		c.Close()
	} else if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection, with nobody asking: %v; want it cut", err)
	}
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatalf("it does not end: %+v", w.backend.Stats())
	}
	if left, err := other.Retire(t.Context()); left != 0 || err != nil {
		t.Errorf("asked after its end: %d, %v", left, err)
	}
}

// TestProcessGone leaves the rules without a proxy, as a killed process does: clients are refused at once, until the next
// process is there.
func TestProcessGone(t *testing.T) {
	w := newWorld(t)
	c, err := w.client.Dial(t.Context(), "tcp", netip.MustParseAddrPort(virtualAddress))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := say(c); err != nil {
		t.Fatal(err)
	}
	if err := w.backend.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := say(c); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the established connection: %v; want it cut", err)
	}
	for range 3 {
		if _, err := w.ask(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("without a process: %v; want a refusal", err)
		}
	}
	w.sync(newBackend(t, w.node, Config{}))
	w.expectBoth("with the next process")
}

// TestOutsideHands takes away what the backend made: it notices, and repairs it.
func TestOutsideHands(t *testing.T) {
	w := newWorld(t)
	for _, damage := range []string{
		"nft delete table ip switchyard-userspace",
		"nft delete table ip6 switchyard-userspace",
		"nft flush chain ip switchyard-userspace divert",
		"ip rule del pref 97",
		"ip -6 rule del pref 97",
		"ip route flush table 10264",
	} {
		words := strings.Fields(damage)
		if out, err := w.node.Command(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", damage, err, out)
		}
		if intact, err := w.backend.Intact(t.Context()); intact || err != nil {
			t.Errorf("after %s: intact %t, %v", damage, intact, err)
		}
		report, err := w.backend.Sync(t.Context(), plan.Update{Plan: w.backend.last, Full: true})
		if err != nil || report.Repaired == 0 {
			t.Errorf("after %s: %+v, %v; want repairs", damage, report, err)
		}
		if intact, err := w.backend.Intact(t.Context()); !intact || err != nil {
			t.Errorf("after the repair of %s: intact %t, %v", damage, intact, err)
		}
		if _, err := w.ask(); err != nil {
			t.Errorf("after the repair of %s: %v", damage, err)
		}
	}
}

// TestCleanupLeavesNothing looks at rules, routes and sockets.
func TestCleanupLeavesNothing(t *testing.T) {
	w := newWorld(t)
	if _, err := w.ask(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.backend.Cleanup(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for command, want := range map[string]string{
		"nft list ruleset": "", "ip rule show pref 97": "", "ip -6 rule show pref 97": "", "ss -HlntuxA raw,tcp,udp": "",
	} {
		words := strings.Fields(command)
		out, err := w.node.Command(t.Context(), words[0], words[1:]...).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	w.sync(w.backend)
	w.expectBoth("after a Sync that follows a Cleanup")
}

// TestSamePortAgain connects from the port of a connection that the server has closed just before: what the proxy's host
// remembers of it (TIME-WAIT) must not answer in place of the proxy, which would cost the client a reset and a moment.
func TestSamePortAgain(t *testing.T) {
	w := newWorld(t)
	l, err := w.endpoints[0].Listen(t.Context(), "tcp", netip.MustParseAddrPort("192.0.2.20:9090"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("bye"))
			c.Close()
		}
	}()
	next := *w.service
	next.Pools = []plan.Pool{{Protocol: model.TCP, Endpoints: []plan.Endpoint{{Addr: netip.MustParseAddrPort("192.0.2.20:9090")}}}}
	w.service = &next
	w.sync(w.backend)
	for range 5 {
		err := w.client.Do(func() error {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{Port: 23456}, Timeout: patience}
			c, err := dialer.DialContext(t.Context(), "tcp", virtualAddress)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = io.ReadAll(c)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := w.client.Command(t.Context(), "sh", "-c", "grep ^Tcp: /proc/self/net/snmp").Output()
	if err != nil {
		t.Fatal(err)
	}
	names, values, _ := strings.Cut(string(out), "\n")
	column := slices.Index(strings.Fields(names), "OutRsts")
	if resets := strings.Fields(values)[column]; resets != "0" {
		t.Errorf("the client sent %s resets", resets)
	}
}

// TestNoGoroutineIsLeft closes a backend that had a connection and an endpoint to probe.
func TestNoGoroutineIsLeft(t *testing.T) {
	w := newWorld(t)
	if err := w.backend.Close(); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	b := newBackend(t, w.node, Config{})
	w.sync(b)
	w.end(w.servers[0])
	w.expectOnly("e1", "after the process of e0 is gone")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all goroutines end", func() error {
		if now := runtime.NumGoroutine(); now > before {
			return fmt.Errorf("%d, and %d before", now, before)
		}
		return nil
	})
}

// faultyRules fail every third time, half of these after they have done their work.
type faultyRules struct {
	Rules
	rng *rand.Rand
}

var errInjected = errors.New("injected")

func (f *faultyRules) Sync(ctx context.Context, u plan.Update) (plan.Report, error) {
	switch f.rng.IntN(6) {
	case 0:
		return plan.Report{}, errInjected
	case 1:
		report, err := f.Rules.Sync(ctx, u)
		return report, errors.Join(err, errInjected)
	}
	return f.Rules.Sync(ctx, u)
}

// TestFaultsOfTheRules changes Services at random while the rules fail now and then. After each Sync that does not fail,
// the proxy knows exactly the frontends of the plan.
func TestFaultsOfTheRules(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	rng := rand.New(rand.NewPCG(1, 2))
	b := newBackend(t, ns, Config{})
	b.deps.Rules = &faultyRules{b.deps.Rules, rng}
	p := planOf(plan.Node{MasqueradeBit: 14})
	var changed []model.Ref
	failures := 0
	for range 300 {
		ref := model.Ref{Namespace: "default", Name: fmt.Sprint("s", rng.IntN(20))}
		if rng.IntN(3) == 0 {
			p = &plan.Plan{Node: p.Node, Services: p.Services.Without(ref)}
		} else {
			p = &plan.Plan{Node: p.Node, Services: p.Services.With(ref, randomService(ref, rng))}
		}
		changed = append(changed, ref)
		if _, err := b.Sync(t.Context(), plan.Update{Plan: p, Changed: changed, Full: failures > 0 && b.last == nil}); err != nil {
			failures++
			continue
		}
		changed = nil
		if diff := cmp.Diff(keysOf(p), b.knownKeys()); diff != "" {
			t.Fatalf("frontends after %d failures (-want +got):\n%s", failures, diff)
		}
	}
	if failures == 0 {
		t.Error("no fault was injected")
	}
}

// randomService has frontends whose ports no other Service has.
func randomService(ref model.Ref, rng *rand.Rand) *plan.Service {
	s := &plan.Service{Ref: ref, Pools: []plan.Pool{{Protocol: model.TCP, Endpoints: []plan.Endpoint{{Addr: netip.MustParseAddrPort("192.0.2.1:80")}}}}}
	var n byte
	fmt.Sscanf(ref.Name, "s%d", &n)
	for port := range 1 + rng.IntN(3) {
		s.Frontends = append(s.Frontends, plan.Frontend{
			Key:             plan.Key{Addr: netip.AddrFrom4([4]byte{10, 96, 1, n}), Port: uint16(80 + port), Protocol: model.TCP},
			LocalClientPool: plan.NoPool,
		})
	}
	return s
}

func keysOf(p *plan.Plan) map[string]bool {
	keys := map[string]bool{}
	for _, s := range p.Services.All() {
		for _, f := range s.Frontends {
			keys[f.Key.String()] = true
		}
	}
	return keys
}

func (b *Backend) knownKeys() map[string]bool {
	keys := map[string]bool{}
	for k := range b.router.table.frontends {
		keys[k.String()] = true
	}
	return keys
}

// TestRemovedFlows has a UDP client go on from the same port after its endpoint has left the plan: the next datagram goes
// to another one.
func TestRemovedFlows(t *testing.T) {
	w := newWorld(t)
	for i, ns := range w.endpoints {
		conn, err := ns.ListenPacket(t.Context(), "udp", netip.MustParseAddrPort("0.0.0.0:8080"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		go func() {
			buf := make([]byte, 2000)
			for {
				n, from, err := conn.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = conn.WriteTo(append(fmt.Appendf(nil, "e%d ", i), buf[:n]...), from)
			}
		}()
	}
	w.service = overUDP(w.service)
	w.sync(w.backend)
	c, err := w.client.Dial(t.Context(), "udp", netip.MustParseAddrPort(virtualAddress))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first := datagram(t, c)
	if again := datagram(t, c); again != first {
		t.Errorf("a second datagram was answered by %s, the first by %s", again, first)
	}
	next := *w.service
	pool := next.Pools[0]
	pool.Endpoints = []plan.Endpoint{pool.Endpoints[map[string]int{"e0": 1, "e1": 0}[first]]}
	next.Pools = []plan.Pool{pool}
	w.service = &next
	w.sync(w.backend)
	if got := datagram(t, c); got == first {
		t.Errorf("still answered by %s, which is gone", got)
	}
}

// overUDP returns a Service with another protocol.
func overUDP(s *plan.Service) *plan.Service {
	out := *s
	out.Pools, out.Frontends = slices.Clone(s.Pools), slices.Clone(s.Frontends)
	for i := range out.Pools {
		out.Pools[i].Protocol, out.Frontends[i].Key.Protocol = model.UDP, model.UDP
	}
	return &out
}

// datagram sends a long one and returns who answers it.
func datagram(t *testing.T, c net.Conn) string {
	t.Helper()
	question := strings.Repeat("?", 1999) // with an IPv4 checksum over an odd length, in two fragments
	buf := make([]byte, 3000)
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err = c.Write([]byte(question)); err != nil {
			continue
		}
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		var n int
		if n, err = c.Read(buf); err == nil {
			name, rest, _ := strings.Cut(string(buf[:n]), " ")
			if rest != question {
				t.Fatalf("%d bytes came back; want %d", len(rest), len(question))
			}
			return name
		}
	}
	t.Fatalf("no answer: %v", err)
	return ""
}
