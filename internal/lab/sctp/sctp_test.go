package sctp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/guest"
	"github.com/switchyard-net/switchyard/internal/lab/guesttest"
	"github.com/switchyard-net/switchyard/internal/lab/sctp"
)

// patience is how long an answer may take that is to come.
const patience = 30 * time.Second

// two returns two hosts on one segment, of which the second listens on port 5000.
func two(t *testing.T) (client, server *lab.Namespace) {
	t.Helper()
	topology := lab.ForTest(t)
	lan := topology.LAN("lan")
	client = topology.Host(lan, "client", "192.0.2.1/24", "2001:db8::1/64")
	server = topology.Host(lan, "server", "192.0.2.2/24", "2001:db8::2/64")
	host, err := sctp.Open(server)
	topology.Must(err)
	t.Cleanup(func() { host.Close() })
	listener, err := host.Listen(5000)
	topology.Must(err)
	t.Cleanup(func() { listener.Close() })
	go echo(listener)
	return client, server
}

// echo greets each client with its address, and sends back what comes.
func echo(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			fmt.Fprintf(conn, "%s\n", conn.RemoteAddr())
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				fmt.Fprintf(conn, "%s\n", lines.Text())
			}
		}()
	}
}

func dial(t *testing.T, ns *lab.Namespace, wait time.Duration, from, to string) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	return sctp.Dial(ctx, ns, netip.MustParseAddrPort(from), netip.MustParseAddrPort(to))
}

func testAssociations(t *testing.T) {
	client, _ := two(t)
	for from, to := range map[string]string{"192.0.2.1:1234": "192.0.2.2:5000", "[2001:db8::1]:1234": "[2001:db8::2]:5000"} {
		conn, err := dial(t, client, patience, from, to)
		if err != nil {
			t.Fatalf("%s -> %s: %v", from, to, err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(conn)
		want := from
		for _, line := range []string{"first", "second", "third"} {
			got, err := lines.ReadString('\n')
			if err != nil || got != want+"\n" {
				t.Fatalf("%s -> %s: %q, %v; want %q", from, to, got, err, want)
			}
			want = line
			if _, err := fmt.Fprintf(conn, "%s\n", line); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func testRefusals(t *testing.T) {
	client, server := two(t)
	for i, to := range []string{"192.0.2.2:5001", "[2001:db8::2]:5001"} {
		from := []string{"192.0.2.1:1234", "[2001:db8::1]:1234"}[i]
		if _, err := dial(t, client, patience, from, to); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a port that nobody listens on: %v; want a refusal", err)
		}
		program := []string{"iptables", "ip6tables"}[i]
		reject := []string{"icmp-port-unreachable", "icmp6-port-unreachable"}[i]
		for _, rule := range [][]string{
			{"-A", "INPUT", "-p", "sctp", "--dport", "6000", "-j", "REJECT", "--reject-with", reject},
			{"-A", "INPUT", "-p", "sctp", "--dport", "7000", "-j", "DROP"},
		} {
			if out, err := server.Command(t.Context(), program, rule...).CombinedOutput(); err != nil {
				t.Fatalf("%s %v: %v\n%s", program, rule, err, out)
			}
		}
		rejected, dropped := netip.MustParseAddrPort(to).Addr(), netip.MustParseAddrPort(to).Addr()
		if _, err := dial(t, client, patience, from, netip.AddrPortFrom(rejected, 6000).String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a port that is rejected: %v; want a refusal", err)
		}
		_, err := dial(t, client, 300*time.Millisecond, from, netip.AddrPortFrom(dropped, 7000).String())
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a port that is dropped: %v; want silence", err)
		}
	}
}

func TestAssociations(t *testing.T) { testAssociations(t) }

func TestRefusals(t *testing.T) { testRefusals(t) }

// TestKernelSockets shows that the kernel's own sockets give the same.
func TestKernelSockets(t *testing.T) {
	guesttest.Run(t, guest.Machine{}, func(t *testing.T) {
		t.Run("Associations", testAssociations)
		t.Run("Refusals", testRefusals)
		t.Run("Translation", testTranslation)
	})
}

// testTranslation connects through a router that translates both addresses, as a node does for a Service.
func testTranslation(t *testing.T) {
	client, server := two(t)
	router := lab.ForTest(t).Namespace("router")
	run := func(ns *lab.Namespace, command string) {
		t.Helper()
		words := strings.Fields(command)
		if out, err := ns.Command(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s in %s: %v\n%s", command, ns.Name(), err, out)
		}
	}
	for i, ns := range []*lab.Namespace{client, server} {
		err := lab.Link(ns, router, lab.LinkOptions{
			A: lab.End{Name: "up", Addresses: prefixes(fmt.Sprintf("198.51.100.%d/31", 2*i), fmt.Sprintf("2001:db8:1::%d/127", 2*i))},
			B: lab.End{Name: ns.Name(), Addresses: prefixes(fmt.Sprintf("198.51.100.%d/31", 2*i+1), fmt.Sprintf("2001:db8:1::%d/127", 2*i+1))},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, setting := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		if err := router.SetSysctl(setting, "1"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ program, from, via, service, server, seen string }{
		{"iptables", "198.51.100.0", "198.51.100.1", "203.0.113.1", "198.51.100.2", "198.51.100.3"},
		{"ip6tables", "2001:db8:1::", "2001:db8:1::1", "2001:db8:2::1", "2001:db8:1::2", "2001:db8:1::3"},
	} {
		run(client, fmt.Sprintf("ip route add %s via %s", c.service, c.via))
		to := netip.AddrPortFrom(netip.MustParseAddr(c.server), 5000)
		run(router, fmt.Sprintf("%s -t nat -A PREROUTING -d %s -p sctp --dport 5001 -j DNAT --to-destination %s", c.program, c.service, to))
		run(router, fmt.Sprintf("%s -t nat -A POSTROUTING -p sctp -j MASQUERADE", c.program))
		from, service := netip.AddrPortFrom(netip.MustParseAddr(c.from), 1234), netip.AddrPortFrom(netip.MustParseAddr(c.service), 5001)
		conn, err := dial(t, client, patience, from.String(), service.String())
		if err != nil {
			t.Fatalf("%s -> %s: %v", from, service, err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		seen, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || netip.MustParseAddrPort(strings.TrimSpace(seen)).Addr().String() != c.seen {
			t.Errorf("%s -> %s: the server saw %q, %v; want %s", from, service, seen, err, c.seen)
		}
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func TestTranslation(t *testing.T) { testTranslation(t) }
