package enginetest

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// closedPort returns an address of loopback that refuses connections.
func closedPort(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

// counts returns how often each endpoint of "web" was asked since the last call.
func (e *Entry) counts() []int {
	var out []int
	for _, b := range e.backends["web"] {
		out = append(out, len(b.requests()))
	}
	return out
}

// Balancing runs the cases of choosing endpoints.
func Balancing(t *testing.T, start Start) {
	t.Run("an endpoint that refuses", func(t *testing.T) { refusing(t, start) })
	t.Run("least requests", func(t *testing.T) { balanced(t, start, "", 60, 16) })
	t.Run("round_robin", func(t *testing.T) { balanced(t, start, "load-balance: round_robin", 60, 2) })
	t.Run("ewma", func(t *testing.T) { balanced(t, start, "load-balance: ewma", 60, 40) })
	t.Run("upstream-hash-by", func(t *testing.T) { hashed(t, start) })
	t.Run("limit-connections", func(t *testing.T) { connections(t, start) })
	t.Run("limit-rate", func(t *testing.T) { paced(t, start) })
}

// refusing: a request that was not sent yet goes to another endpoint, whatever its method, and the one that refuses is left alone
// after some failures.
func refusing(t *testing.T, start Start) {
	e := Serve(t, start, Case{
		Backends: []string{"web", "web"}, Manifest: site{}.String(), Servers: map[string]netip.AddrPort{"web": closedPort(t)},
	})
	for i := range 60 {
		if a := e.Do(t, Step{Method: "POST", Target: fmt.Sprint("/", i), Body: "hello"}); a.response.StatusCode != 200 {
			t.Fatalf("request %d: status %d", i, a.response.StatusCode)
		}
	}
	if got := e.counts(); got[0]+got[1] != 60 {
		t.Errorf("endpoints were asked %v times", got)
	}
}

// balanced: all endpoints are asked, none of three more than slack of n requests away from a third.
func balanced(t *testing.T, start Start, annotations string, n, slack int) {
	e := Serve(t, start, Case{Backends: []string{"web", "web", "web"}, Manifest: site{annotations: annotations}.String()})
	for range n {
		e.Do(t, Step{})
	}
	got, sum := e.counts(), 0
	for _, c := range got {
		if sum += c; c < n/3-slack || c > n/3+slack {
			t.Errorf("endpoints were asked %v times", got)
		}
	}
	if sum != n {
		t.Errorf("%d of %d requests were served", sum, n)
	}
}

func hashed(t *testing.T, start Start) {
	e := Serve(t, start, Case{Backends: []string{"web", "web", "web"}, Manifest: site{annotations: "upstream-hash-by: $http_x_user"}.String()})
	used := map[int]bool{}
	for user := range 30 {
		first := -1
		for range 3 {
			e.Do(t, Step{Header: [][2]string{{"X-User", fmt.Sprint("user", user)}}})
			at := e.asked(t)
			if first >= 0 && at != first {
				t.Fatalf("user %d is at %d and at %d", user, first, at)
			}
			first = at
		}
		used[first] = true
	}
	if len(used) != 3 {
		t.Errorf("endpoints %v are used", used)
	}
}

// connections: of requests at the same time, as many as the limit are served.
func connections(t *testing.T, start Start) {
	e := Serve(t, start, Case{Manifest: site{annotations: "limit-connections: 2\nproxy-request-buffering: off"}.String()})
	// Two requests whose bodies do not end hold their places.
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", e.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(c, "POST /?stream=1 HTTP/1.1\r\nHost: example.com\r\nContent-Length: 10\r\n\r\n12345"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 12)); err != nil { // the answer has begun: the request was let in
			t.Fatal(err)
		}
		held = append(held, c)
	}
	if a := e.Do(t, Step{}); a.response.StatusCode != 503 {
		t.Errorf("a third request: status %d", a.response.StatusCode)
	}
	held[0].Close()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if a := e.Do(t, Step{}); a.response.StatusCode == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a place is not free after its request has ended")
		}
	}
}

// paced: 4 KB at 2 KB a second, after the first one, take more than a second, and other requests go on.
func paced(t *testing.T, start Start) {
	e := Serve(t, start, Case{Manifest: site{annotations: "limit-rate: 2\nlimit-rate-after: 1"}.String()})
	began := time.Now()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if a := e.Do(t, Step{Target: "/?size=6144"}); len(a.body) != 6144 {
				t.Errorf("%d bytes", len(a.body))
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took < time.Second || took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}
