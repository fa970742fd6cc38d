package conntrack_test

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
)

// listen returns the events of a namespace, each on the channel.
func listen(t *testing.T, ns *lab.Namespace) <-chan conntrack.Connection {
	t.Helper()
	var events *conntrack.Events
	if err := ns.Do(func() (err error) {
		events, err = conntrack.Listen()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	heard, ended := make(chan conntrack.Connection, 100), make(chan error, 1)
	go func() {
		for {
			if err := events.Read(func(c conntrack.Connection) { heard <- c }); err != nil {
				ended <- err
				return
			}
		}
	}()
	t.Cleanup(func() {
		if err := events.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, os.ErrClosed) {
			t.Errorf("the end of reading: %v; want os.ErrClosed", err)
		}
	})
	return heard
}

// next returns the next event to a port.
func next(t *testing.T, heard <-chan conntrack.Connection, port uint16) conntrack.Connection {
	t.Helper()
	for deadline := time.After(30 * time.Second); ; {
		select {
		case c := <-heard:
			if c.Destination.Port() == port {
				return c
			}
		case <-deadline:
			t.Fatal("no event of the connection")
		}
	}
}

// lookup waits until a connection is as it should be.
func lookup(t *testing.T, table *conntrack.Table, c conntrack.Connection, want func(conntrack.Connection) bool) {
	t.Helper()
	var now conntrack.Connection
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		found, ok, err := table.Lookup(c)
		if err != nil || !ok {
			t.Fatalf("look up %v: %t, %v", c, ok, err)
		}
		if now = found; want(now) {
			return
		}
	}
	t.Fatalf("the connection is %+v", now)
}

// TestNewConnectionsAreToldAndLookedUp follows a translated TCP connection from its first packet to its end.
func TestNewConnectionsAreToldAndLookedUp(t *testing.T) {
	for family, c := range map[model.Family]struct{ listen, service, rule string }{
		model.IPv4: {"127.0.0.1:7000", "127.0.0.9:80", "add table ip n; add chain ip n o { type nat hook output priority -100; }; add rule ip n o ip daddr 127.0.0.9 tcp dport 80 dnat to 127.0.0.1:7000"},
		model.IPv6: {"[::1]:7000", "[fd00::9]:80", "add table ip6 n; add chain ip6 n o { type nat hook output priority -100; }; add rule ip6 n o ip6 daddr fd00::9 tcp dport 80 dnat to [::1]:7000"},
	} {
		t.Run(family.String(), func(t *testing.T) {
			ns, table := tracked(t)
			for _, command := range [][]string{{"nft", c.rule}, {"ip", "addr", "add", "fd00::9", "dev", "lo"}, {"sysctl", "-q", "net.netfilter.nf_conntrack_acct=1"}} {
				if out, err := ns.Command(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %v: %s", command, err, out)
				}
			}
			heard := listen(t, ns)
			listener, err := ns.Listen(t.Context(), "tcp", netip.MustParseAddrPort(c.listen))
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			client, err := ns.Dial(t.Context(), "tcp", netip.MustParseAddrPort(c.service))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			born := next(t, heard, 80)
			if born.ReplySource.String() != c.listen || born.Protocol != model.TCP || born.Status.Has(conntrack.SeenReply) || !born.Translated() {
				t.Errorf("told of %+v; want one translated to %s, without a reply", born, c.listen)
			}
			lookup(t, table, born, func(now conntrack.Connection) bool {
				return now.Status.Has(conntrack.SeenReply) && now.Reply.Packets == 1 && now.Reply.Bytes <= 80
			})
			server, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := server.Write(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			lookup(t, table, born, func(now conntrack.Connection) bool { return now.Reply.Bytes > 140 })
			if _, err := io.ReadFull(client, make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			server.Close()
			client.Close()
			lookup(t, table, born, func(now conntrack.Connection) bool {
				return now.TCPState == conntrack.LastACK || now.TCPState == conntrack.TimeWait
			})
			another := born
			another.ID++
			if _, ok, err := table.Lookup(another); ok || err != nil {
				t.Errorf("look up a connection of another id: %t, %v", ok, err)
			}
		})
	}
}

// TestRefusedConnectionsAreGone: conntrack forgets at once what was answered with a reset alone.
func TestRefusedConnectionsAreGone(t *testing.T) {
	ns, table := tracked(t)
	heard := listen(t, ns)
	if conn, err := ns.Dial(t.Context(), "tcp", netip.MustParseAddrPort("127.0.0.1:7001")); err == nil {
		conn.Close()
		t.Fatal("somebody listens")
	}
	if now, ok, err := table.Lookup(next(t, heard, 7001)); ok || err != nil {
		t.Errorf("look up: %+v, %t, %v; want it gone", now, ok, err)
	}
}
