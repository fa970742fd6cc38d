package balance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// nameServer serves records over UDP and TCP of one loopback address, and returns a resolv.conf that names it.
func nameServer(t *testing.T, records string, cut *atomic.Bool) *dns.ClientConfig {
	t.Helper()
	var zone []dns.RR
	parser := dns.NewZoneParser(strings.NewReader(records), "", "")
	for r, ok := parser.Next(); ok; r, ok = parser.Next() {
		zone = append(zone, r)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp && cut.Load() {
			m.Truncated = true
			_ = w.WriteMsg(m)
			return
		}
		name, known := q.Question[0].Name, false
		for _, r := range zone {
			if r.Header().Name != name {
				continue
			}
			known = true
			if c, ok := r.(*dns.CNAME); ok {
				m.Answer, name = append(m.Answer, r), c.Target
			} else if r.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, r)
			}
		}
		if !known {
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{Listener: tcp, Handler: handler}, {PacketConn: udp, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	_, port, _ := net.SplitHostPort(tcp.Addr().String())
	return &dns.ClientConfig{Servers: []string{"127.0.0.1"}, Port: port, Search: []string{"svc.example"}, Ndots: 5}
}

func TestAsk(t *testing.T) {
	var cut atomic.Bool
	config := nameServer(t, `
db.example.		30 IN CNAME	primary.example.
primary.example.	5 IN A		192.0.2.1
primary.example.	60 IN AAAA	2001:db8::1
six.example.		7 IN AAAA	2001:db8::6
long.example.		86400 IN A	192.0.2.9
`, &cut)
	for _, over := range []string{"udp", "tcp"} {
		cut.Store(over == "tcp")
		for name, want := range map[string]string{
			"db.example":    "[192.0.2.1 2001:db8::1] 5s",
			"six.example":   "[2001:db8::6] 7s",
			"long.example":  "[192.0.2.9] 1m0s", // no longer than maxTTL
			"none.example":  "[] 1m0s",
			"db.example.":   "[192.0.2.1 2001:db8::1] 5s",
			"DB.example.xx": "[] 1m0s",
		} {
			list, ttl, err := ask(t.Context(), config, name)
			slices.SortFunc(list, netip.Addr.Compare)
			if got := fmt.Sprint(list, ttl); got != want || err != nil {
				t.Errorf("%s over %s: %s, %v, want %s", name, over, got, err, want)
			}
		}
	}
	config.Servers = append([]string{"127.0.0.2"}, config.Servers...) // one that does not answer
	if list, _, err := ask(t.Context(), config, "six.example"); len(list) != 1 || err != nil {
		t.Errorf("the second server is not asked: %v, %v", list, err)
	}
	config.Servers = []string{"127.0.0.2"}
	if _, _, err := ask(t.Context(), config, "six.example"); err == nil {
		t.Error("no answer is no error")
	}
}

func TestResolverAsksTheSystem(t *testing.T) {
	asked := ""
	system := func(_ context.Context, name string) ([]netip.Addr, time.Duration, error) {
		asked = name
		return nil, 0, errors.New("no such host")
	}
	empty := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if list, _, err := (Resolver{Config: "/nonexistent", System: system}).Lookup(t.Context(), "2001:db8::1"); err != nil || len(list) != 1 || asked != "" {
		t.Errorf("an address is looked up: %v, %v", list, err)
	}
	full := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(full, []byte("nameserver 127.0.0.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _ = (Resolver{Config: full, System: system}).Lookup(t.Context(), "LocalHost."); asked != "LocalHost." {
		t.Error("a name of this host is asked of a server")
	}
	for _, path := range []string{empty, "/nonexistent"} {
		asked = ""
		_, _, err := Resolver{Config: path, System: system}.Lookup(t.Context(), "db.example")
		if diff := cmp.Diff("db.example", asked); diff != "" || err == nil {
			t.Errorf("%s: %v %s", path, err, diff)
		}
	}
}
