package localdns

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
)

const (
	service  = "10.96.0.10"
	patience = 30 * time.Second
)

// serve answers each packet and each connection with a name, until the test or the returned function ends it.
func serve(t *testing.T, ns *lab.Namespace, on, name string) (stop func()) {
	t.Helper()
	addr := netip.MustParseAddrPort(on)
	packets, err := ns.ListenPacket(t.Context(), "udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := ns.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		buffer := make([]byte, 100)
		for {
			_, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo([]byte(name), from)
		}
	}()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(name))
			_ = conn.Close()
		}
	}()
	stop = func() { _ = packets.Close(); _ = listener.Close() }
	t.Cleanup(stop)
	return stop
}

// ask returns who answers a pod at an address.
func ask(t *testing.T, pod *lab.Namespace, network, to string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pod.Dial(ctx, network, netip.MustParseAddrPort(to))
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("who?")); err != nil {
		return err.Error()
	}
	buffer := make([]byte, 100)
	n, err := conn.Read(buffer)
	if err != nil {
		return err.Error()
	}
	return string(buffer[:n])
}

// tracked returns the connections to the Service that the node tracks.
func tracked(t *testing.T, node *lab.Namespace) string {
	t.Helper()
	var found []string
	err := node.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/nf_conntrack")
		for _, line := range strings.Split(string(text), "\n") {
			if strings.Contains(line, service) {
				found = append(found, line)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(found, "\n")
}

// TestServedHereWhileTheServerIsThere has a pod behind a node that translates the Service's address to a server elsewhere, as the
// service proxy does.
func TestServedHereWhileTheServerIsThere(t *testing.T) {
	topology := lab.ForTest(t)
	pods, others := topology.LAN("pods"), topology.LAN("others")
	pod := topology.Host(pods, "pod", "10.244.0.2/24", "fd00:10:244::2/64")
	node := topology.Host(pods, "node", "10.244.0.1/24", "fd00:10:244::1/64")
	topology.Must(others.Join(node, "eth1", netip.MustParsePrefix("192.0.2.1/24")))
	elsewhere := topology.Host(others, "elsewhere", "192.0.2.2/24")
	topology.Must(pod.AddDefaultRoute(netip.MustParseAddr("10.244.0.1")))
	topology.Must(pod.AddDefaultRoute(netip.MustParseAddr("fd00:10:244::1")))
	topology.Must(elsewhere.AddDefaultRoute(netip.MustParseAddr("192.0.2.1")))
	topology.Must(node.SetSysctl("net.ipv4.ip_forward", "1"))
	out, err := node.Command(t.Context(), "nft",
		"add table ip proxy; add chain ip proxy prerouting { type nat hook prerouting priority dstnat; };"+
			"add rule ip proxy prerouting ip daddr "+service+" meta l4proto { tcp, udp } th dport 53 dnat to 192.0.2.2:53").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	serve(t, elsewhere, "192.0.2.2:53", "elsewhere")
	check := func(when, want string) {
		t.Helper()
		for _, network := range []string{"udp", "tcp"} {
			if got := ask(t, pod, network, service+":53"); got != want {
				t.Errorf("%s, over %s: %s answers, want %s", when, network, got, want)
			}
		}
	}
	check("before", "elsewhere")

	addrs := []netip.Addr{netip.MustParseAddr(service), netip.MustParseAddr("169.254.20.10"), netip.MustParseAddr("fd00:10:96::a")}
	hold := func() error { return Hold(t.Context(), addrs, 53) }
	topology.Must(node.Do(hold))
	check("without a server here", "elsewhere")
	wildcard := serve(t, node, "0.0.0.0:53", "another server of all addresses")
	check("beside another server", "elsewhere")
	wildcard()

	stop := serve(t, node, service+":53", "here")
	serve(t, node, "169.254.20.10:53", "link-local")
	serve(t, node, "[fd00:10:96::a]:53", "here, by IPv6")
	before := tracked(t, node)
	check("with a server here", "here")
	if after := tracked(t, node); strings.Count(after, service) > strings.Count(before, service) {
		t.Errorf("packets to the server here are tracked:\n%s", after)
	}
	if got := ask(t, pod, "udp", "169.254.20.10:53"); got != "link-local" {
		t.Errorf("the link-local address: %s", got)
	}
	for _, network := range []string{"udp", "tcp"} {
		if got := ask(t, pod, network, "[fd00:10:96::a]:53"); got != "here, by IPv6" {
			t.Errorf("the IPv6 address, over %s: %s", network, got)
		}
	}
	topology.Must(node.Do(hold)) // again, as after a restart
	check("after a restart", "here")
	stop()
	check("when the server is gone", "elsewhere")

	for _, want := range []bool{true, false} {
		topology.Must(node.Do(func() error {
			found, err := Release(t.Context())
			if found != want {
				t.Errorf("something was there: %t, want %t", found, want)
			}
			return err
		}))
	}
	check("after Release", "elsewhere")
	if _, err := node.ListenPacket(t.Context(), "udp", netip.MustParseAddrPort(service+":53")); err == nil {
		t.Error("the address is still the node's")
	}
}
