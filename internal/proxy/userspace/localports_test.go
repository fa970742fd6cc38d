package userspace

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy/nftables"
)

// patience is how long a test waits for what must happen, on a machine that is busy with other things.
const patience = 30 * time.Second

// eventually fails the test unless ok returns nil in time.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = ok(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not within %v: %v", what, patience, err)
}

// greet runs a server that greets with its name and then echoes, until the test ends.
func greet(t *testing.T, ns *lab.Namespace, at, name string) net.Listener {
	t.Helper()
	l, err := ns.Listen(t.Context(), "tcp", netip.MustParseAddrPort(at))
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
			go func() {
				defer c.Close()
				from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
				if _, err := fmt.Fprintf(c, "%s %s\n", name, from); err == nil {
					_, _ = io.Copy(c, c)
				}
			}()
		}
	}()
	return l
}

// greeting connects and returns what the server says first.
func greeting(t *testing.T, ns *lab.Namespace, to string) (string, error) {
	t.Helper()
	c, err := ns.Dial(t.Context(), "tcp", netip.MustParseAddrPort(to))
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(buf[:n])), nil
}

// nodePortService is reached by a node port of a family, at endpoints; over UDP too.
func nodePortService(f model.Family, endpoints ...string) *plan.Service {
	s := &plan.Service{Ref: model.Ref{Namespace: "default", Name: "web"}}
	anyNode := netip.IPv4Unspecified()
	if f == model.IPv6 {
		anyNode, s.Ref.Name = netip.IPv6Unspecified(), "web6"
	}
	for i, protocol := range []model.Protocol{model.TCP, model.UDP} {
		p := plan.Pool{Protocol: protocol, Family: f}
		for _, e := range endpoints {
			p.Endpoints = append(p.Endpoints, plan.Endpoint{Addr: netip.MustParseAddrPort(e)})
		}
		s.Pools = append(s.Pools, p)
		s.Frontends = append(s.Frontends, plan.Frontend{
			Key: plan.Key{Addr: anyNode, Port: 30080, Protocol: protocol}, Pool: plan.PoolID(i), LocalClientPool: plan.NoPool,
			Masquerade: plan.MasqueradeAlways,
		})
	}
	return s
}

func planOf(node plan.Node, services ...*plan.Service) *plan.Plan {
	p := &plan.Plan{Node: node}
	for _, s := range services {
		p.Services = p.Services.With(s.Ref, s)
	}
	return p
}

// TestRule15_LocalNodePorts has the nftables mode answer on loopback addresses of both families, through a restart, as
// long as there are endpoints; and a port that another process has is reported, and taken when it is free.
func TestRule15_LocalNodePorts(t *testing.T) {
	l := lab.ForTest(t)
	ns := l.Host(l.LAN("lan"), "node", "192.0.2.10/24", "2001:db8::10/64")
	greet(t, ns, "192.0.2.10:8080", "four")
	greet(t, ns, "[2001:db8::10]:8080", "six")
	taken := greet(t, ns, "[::1]:30080", "stranger")
	node := plan.Node{MasqueradeBit: 14, NodePorts: plan.NodePortAddresses{Addrs: []netip.Addr{
		netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"),
	}}}
	p := planOf(node, nodePortService(model.IPv4, "192.0.2.10:8080"), nodePortService(model.IPv6, "[2001:db8::10]:8080"))
	b := localPorts(t, ns)
	report, err := b.Sync(t.Context(), plan.Update{Plan: p, Full: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Unsupported) != 2 || report.Unsupported[0].Capability != "node port at [::1]:30080" {
		t.Errorf("unsupported: %+v; want the port that is taken, and UDP", report.Unsupported)
	}
	expect := func(to, want string) {
		t.Helper()
		if got, err := greeting(t, ns, to); got != want {
			t.Errorf("%s: %q, %v; want %q", to, got, err, want)
		}
	}
	expect("127.0.0.1:30080", "four 192.0.2.10")
	expect("[::1]:30080", "stranger ::1")
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	b = localPorts(t, ns) // as a process does that starts while the one before ends
	if _, err := b.Sync(t.Context(), plan.Update{Plan: p, Full: true}); err != nil {
		t.Fatal(err)
	}
	expect("[::1]:30080", "six 2001:db8::10")
	expect("127.0.0.1:30080", "four 192.0.2.10")
}

// TestRule15_LocalNodePortsGo shows that nobody listens where there are no endpoints, no Service, or no backend.
func TestRule15_LocalNodePortsGo(t *testing.T) {
	l := lab.ForTest(t)
	ns := l.Host(l.LAN("lan"), "node", "192.0.2.10/24")
	greet(t, ns, "192.0.2.10:8080", "four")
	node := plan.Node{MasqueradeBit: 14, NodePorts: plan.NodePortAddresses{AnyLocal: true, Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}}
	service := nodePortService(model.IPv4, "192.0.2.10:8080")
	gone := nodePortService(model.IPv4)
	for i := range gone.Frontends {
		gone.Frontends[i].Verdict, gone.Frontends[i].Pool = plan.Reject, plan.NoPool
	}
	b := localPorts(t, ns)
	for _, step := range []struct {
		plan *plan.Plan
		open bool
	}{{planOf(node, service), true}, {planOf(node, gone), false}, {planOf(node, service), true}, {planOf(plan.Node{}, service), false}, {planOf(node), false}} {
		if _, err := b.Sync(t.Context(), plan.Update{Plan: step.plan, Changed: []model.Ref{service.Ref}}); err != nil {
			t.Fatal(err)
		}
		_, err := greeting(t, ns, "127.0.0.1:30080")
		if open := err == nil; open != step.open || !open && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v: answered %t, %v; want %t", step.plan.Services.Len(), open, err, step.open)
		}
	}
	if err := b.Cleanup(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// localPorts returns the nftables mode with loopback node ports.
func localPorts(t *testing.T, ns *lab.Namespace) LocalNodePorts {
	t.Helper()
	var b LocalNodePorts
	if err := ns.Do(func() error {
		conn, err := nft.Open()
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = conn.Close() })
		log := slog.New(slog.DiscardHandler)
		rules, err := nftables.New(nftables.Config{}, nftables.Deps{Kernel: conn, Log: log})
		if err != nil {
			return err
		}
		b, err = WithLocalNodePorts(rules, log, model.IPv4, model.IPv6)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
