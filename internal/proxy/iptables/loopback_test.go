package iptables

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// patience is how long a connection may take.
const patience = 30 * time.Second

// TestRule15_LoopbackNodePortsAreServed reaches a pod through 127.0.0.1.
func TestRule15_LoopbackNodePortsAreServed(t *testing.T) {
	for _, v := range variants() {
		t.Run(string(v), func(t *testing.T) { loopback(t, v) })
	}
}

func loopback(t *testing.T, v iptables.Variant) {
	l := lab.ForTest(t)
	lan := l.LAN("lan")
	node := l.Host(lan, "node", "192.0.2.10/24")
	pod := l.Host(lan, "pod", "192.0.2.20/24")
	serve(t, pod, "192.0.2.20:8080", "pod")
	b := newBackend(t, connIn(t, node, v), sysctlIn{node})
	web := service("web")
	web.Pools = []plan.Pool{poolOf(0, "192.0.2.20:8080")}
	web.Frontends = []plan.Frontend{frontend("0.0.0.0:30080", 0, plan.MasqueradeAlways)}
	mustSync(t, b, plan.Update{Plan: planOf(nodeWithLoopback(), web)})
	if got, err := dial(t, node, "127.0.0.1:30080"); got != "pod" {
		t.Errorf("127.0.0.1:30080 answers %q, %v; want the pod", got, err)
	}
}

// serve answers each connection with a word.
func serve(t *testing.T, ns *lab.Namespace, on, word string) {
	t.Helper()
	listener, err := ns.Listen(t.Context(), "tcp", netip.MustParseAddrPort(on))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = io.WriteString(conn, word) // to a client that may have gone
				conn.Close()
			}
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
}

// dial connects and returns what is said.
func dial(t *testing.T, ns *lab.Namespace, to string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := ns.Dial(ctx, "tcp", netip.MustParseAddrPort(to))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	word, err := io.ReadAll(conn)
	return string(word), err
}
