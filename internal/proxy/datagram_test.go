package proxy_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// waitReady waits for the kernel to be equal to the plan of the cluster's present state.
func waitReady(t *testing.T, r *rig) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		r.cluster.mu.Lock()
		version := float64(r.cluster.snapshot.Version)
		r.cluster.mu.Unlock()
		if r.health.Ready() == nil && r.metric(t, "switchyard_proxy_applied_generation") >= version {
			return
		}
	}
	t.Fatalf("not ready: %v", r.health.Ready())
}

// heard receives the addresses of endpoints that got a datagram.
type heard chan string

// datagrams returns a client of 10.96.0.53:53, and what the endpoints 10.244.0.1:5353 and 10.244.0.2:5353 hear.
func datagrams(t *testing.T, node *lab.Namespace) (net.Conn, heard) {
	t.Helper()
	h := make(heard, 1000)
	for _, address := range []string{"10.244.0.1:5353", "10.244.0.2:5353"} {
		endpoint, err := node.ListenPacket(t.Context(), "udp", netip.MustParseAddrPort(address))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = endpoint.Close() })
		go func() {
			var buffer [16]byte
			for {
				if _, _, err := endpoint.ReadFrom(buffer[:]); err != nil {
					return
				}
				h <- address
			}
		}()
	}
	client, err := node.Dial(t.Context(), "udp", netip.MustParseAddrPort("10.96.0.53:53"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client, h
}

// expect goes on sending until the endpoint hears it.
func (h heard) expect(t *testing.T, client net.Conn, endpoint string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if h.next(client) == endpoint {
			return
		}
	}
	t.Errorf("%s heard nothing", endpoint)
}

// expectOnly sends some datagrams, and fails the test if anybody else hears one.
func (h heard) expectOnly(t *testing.T, client net.Conn, endpoint string) {
	t.Helper()
	for range 20 {
		if got := h.next(client); got != endpoint {
			t.Errorf("%q heard what %s should have", got, endpoint)
		}
	}
}

// next sends one datagram, and returns who heard it; empty: nobody.
func (h heard) next(client net.Conn) string {
	// An error is that of the datagram before (ICMP port unreachable).
	_, _ = client.Write([]byte("x"))
	select {
	case who := <-h:
		return who
	case <-time.After(200 * time.Millisecond):
		return ""
	}
}
