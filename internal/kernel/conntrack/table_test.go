package conntrack_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
)

// tracked returns a namespace whose connections are tracked, and its table.
func tracked(t *testing.T) (*lab.Namespace, *conntrack.Table) {
	t.Helper()
	l := lab.ForTest(t)
	ns := l.Namespace("a")
	// Connections are tracked only where a rule of the namespace asks for it.
	for _, family := range []string{"ip", "ip6"} {
		script := "add table " + family + " t; add chain " + family + " t c { type filter hook output priority 0; }; " +
			"add rule " + family + " t c ct state established accept"
		if out, err := ns.Command(t.Context(), "nft", script).CombinedOutput(); err != nil {
			t.Fatalf("nft: %v: %s", err, out)
		}
	}
	var table *conntrack.Table
	l.Must(ns.Do(func() (err error) {
		table, err = conntrack.Open()
		return err
	}))
	t.Cleanup(func() { _ = table.Close() })
	return ns, table
}

// send sends one datagram over loopback to a port that somebody listens on, and returns both ends.
func send(t *testing.T, ns *lab.Namespace, network, address string) (from, to netip.AddrPort) {
	t.Helper()
	server, err := ns.ListenPacket(t.Context(), network, netip.MustParseAddrPort(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	to = netip.MustParseAddrPort(server.LocalAddr().String())
	client, err := ns.Dial(t.Context(), network, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddrPort(client.LocalAddr().String()), to
}

func TestUDPFlowsAreListedAndDeleted(t *testing.T) {
	for family, listen := range map[model.Family][2]string{model.IPv4: {"udp4", "127.0.0.1:0"}, model.IPv6: {"udp6", "[::1]:0"}} {
		t.Run(family.String(), func(t *testing.T) {
			ns, table := tracked(t)
			from, to := send(t, ns, listen[0], listen[1])
			_, other := send(t, ns, listen[0], listen[1])

			flows, err := table.UDPFlows(family, func(f conntrack.Flow) bool { return f.Destination == to })
			if err != nil {
				t.Fatal(err)
			}
			want := []conntrack.Flow{{Source: from, Destination: to, ReplySource: to, ReplyDestination: from}}
			if diff := cmp.Diff(want, flows, cmpopts.IgnoreFields(conntrack.Flow{}, "ID"), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Fatalf("flows (-want +got):\n%s", diff)
			}
			another := flows[0]
			another.ID++
			if n, err := table.Delete([]conntrack.Flow{another}); n != 0 || err != nil {
				t.Errorf("delete a flow of another id: %d, %v; want 0", n, err)
			}
			if n, err := table.Delete(append(flows, flows...)); n != 1 || err != nil {
				t.Errorf("delete: %d, %v; want 1", n, err)
			}
			flows, err = table.UDPFlows(family, func(conntrack.Flow) bool { return true })
			if err != nil || len(flows) != 1 || flows[0].Destination != other {
				t.Errorf("after deletion: %v, %v; want the flow to %s alone", flows, err, other)
			}
		})
	}
}

// TestMarkedConnections: those of the mark are listed, open until both ends have hung up.
func TestMarkedConnections(t *testing.T) {
	const mark = 0x8000
	ns, table := tracked(t)
	rule := "add rule ip t c tcp dport 7001 ct mark set 0xc000; add rule ip t c tcp dport 7002 ct mark set 0x4000"
	if out, err := ns.Command(t.Context(), "nft", rule).CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	var ends []net.Conn
	for _, to := range []string{"127.0.0.1:7001", "127.0.0.1:7002"} {
		address := netip.MustParseAddrPort(to)
		listener, err := ns.Listen(t.Context(), "tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		client, err := ns.Dial(t.Context(), "tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, client, server)
	}
	list, err := table.Marked(model.IPv4, mark)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v; want one connection", list, err)
	}
	c := list[0]
	if c.Destination.Port() != 7001 || c.Protocol != model.TCP || c.Mark != 0xc000 || c.TCPState != conntrack.Established || !c.Open() {
		t.Errorf("listed as %+v", c)
	}
	for _, end := range ends {
		end.Close()
	}
	if now, ok, err := table.Lookup(c); err != nil || !ok || now.Open() {
		t.Errorf("once both have hung up: %+v, %v, %v", now, ok, err)
	}
	if list, err := table.Marked(model.IPv6, mark); err != nil || len(list) != 0 {
		t.Errorf("IPv6: %v, %v; want none", list, err)
	}
}

func TestClosedTableFails(t *testing.T) {
	_, table := tracked(t)
	for range 2 {
		if err := table.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := table.UDPFlows(model.IPv4, func(conntrack.Flow) bool { return true }); err == nil {
		t.Error("a closed table was listed")
	}
}
