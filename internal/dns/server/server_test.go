package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/plugin"
	"github.com/switchyard-net/switchyard/internal/dns/zone"
)

// kubeadm is the default Corefile with an upstream on loopback, and nothing that takes a fixed port.
func kubeadm(upstream string) string {
	return fmt.Sprintf(`.:0 {
    bind 127.0.0.1
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    forward . %s {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload 2s 0s
    loadbalance
}
`, upstream)
}

func TestServesOnBothPathsAndTCP(t *testing.T) {
	up := startUpstream(t)
	r := start(t, cluster(t), kubeadm(up.addr), nil)
	for _, fast := range []bool{false, true} {
		if fast {
			r.fast(t)
		}
		for _, network := range []string{"udp", "tcp"} {
			for _, c := range []struct {
				name  string
				qtype uint16
				want  string
			}{
				{"web.default.svc.cluster.local.", dns.TypeA, "web.default.svc.cluster.local. A 10.96.0.1"},
				{"outside.default.svc.cluster.local.", dns.TypeA, "outside.default.svc.cluster.local. CNAME www.example.com., www.example.com. A 192.0.2.53"},
				{"db-1.db.default.svc.cluster.local.", dns.TypeA, "db-1.db.default.svc.cluster.local. A 10.244.1.2"},
				{"example.org.", dns.TypeA, "example.org. A 192.0.2.53"},
				{"1.0.96.10.in-addr.arpa.", dns.TypePTR, "1.0.96.10.in-addr.arpa. PTR web.default.svc.cluster.local."},
				{"none.default.svc.cluster.local.", dns.TypeA, ""},
			} {
				if got := answers(r.ask(t, network, c.name, c.qtype)); got != c.want {
					t.Errorf("fast path %t, %s %s: %q, want %q", fast, network, c.name, got, c.want)
				}
			}
		}
	}
}

func TestForwardedAnswersAreKept(t *testing.T) {
	up := startUpstream(t)
	r := start(t, cluster(t), kubeadm(up.addr), nil)
	r.fast(t)
	for range 5 {
		if got := answers(r.ask(t, "udp", "example.org.", dns.TypeA)); got != "example.org. A 192.0.2.53" {
			t.Error(got)
		}
		if m := r.ask(t, "udp", "x.absent.", dns.TypeA); m.Rcode != dns.RcodeNameError || len(m.Ns) != 1 {
			t.Error(m)
		}
	}
	if n := up.questions(); n > 5 { // loop's, and one of each
		t.Errorf("upstream was asked %d times", n)
	}
}

func TestReload(t *testing.T) {
	up := startUpstream(t)
	r := start(t, cluster(t), kubeadm(up.addr), nil)
	r.fast(t)
	hosts := strings.Replace(kubeadm(up.addr), "errors", "errors\n    hosts {\n       192.0.2.7 web.default.svc.cluster.local\n       fallthrough\n    }", 1)

	r.writeCorefile(t, strings.Replace(hosts, "ttl 30", "ttl thirty", 1))
	r.wait(t, "a refusal that names the line", func() bool { return strings.Contains(r.logs.String(), r.path+":11") })
	if got := answers(r.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA)); !strings.HasSuffix(got, "10.96.0.1") {
		t.Errorf("after a Corefile with an error: %s", got)
	}

	r.writeCorefile(t, hosts)
	r.wait(t, "the answer of the new Corefile", func() bool {
		return strings.HasSuffix(answers(r.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA)), "192.0.2.7")
	})
	if s := r.Statuses(); len(s) != 1 || !strings.Contains(s[0].Slow, "hosts") || !strings.Contains(s[0].Slow, "sees every question") {
		t.Errorf("status %+v", s)
	}

	r.writeCorefile(t, kubeadm(up.addr))
	r.wait(t, "the fast path again", func() bool {
		s := r.Statuses()
		return len(s) == 1 && s[0].Slow == "" && strings.HasSuffix(answers(r.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA)), "10.96.0.1")
	})
}

func TestReloadLosesNoQuestion(t *testing.T) {
	up := startUpstream(t)
	r := start(t, cluster(t), kubeadm(up.addr), nil)
	r.fast(t)
	address := r.address(t, "udp")
	for i, ttl := range []string{"29", "31", "28"} { // the fast path stays, goes, and comes back
		loaded := strings.Count(r.logs.String(), "serving the new Corefile")
		r.writeCorefile(t, strings.Replace(kubeadm(up.addr), "ttl 30", "ttl "+ttl, 1))
		client := &dns.Client{Timeout: patience}
		for strings.Count(r.logs.String(), "serving the new Corefile") == loaded {
			for _, name := range []string{"web.default.svc.cluster.local.", fmt.Sprintf("n%d.example.com.", i)} {
				m := new(dns.Msg)
				m.SetQuestion(name, dns.TypeA)
				reply, _, err := client.Exchange(m, address)
				if err != nil || len(reply.Answer) != 1 {
					t.Fatalf("during a reload: %v\n%s", err, reply)
				}
			}
		}
	}
}

func TestImport(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"stub.server": "stub.test:0 {\n  bind 127.0.0.1\n  whoami\n}\n",
		"more.conf":   "ttl 17\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	up := startUpstream(t)
	text := strings.Replace(kubeadm(up.addr), "ttl 30", "import "+dir+"/*.conf", 1) + "import " + dir + "/*.server\n"
	r := start(t, cluster(t), text, nil)
	if m := r.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA); m.Answer[0].Header().Ttl != 17 {
		t.Errorf("the imported option is not in force: %s", m)
	}
	replace(t, filepath.Join(dir, "more.conf"), "ttl 18\n")
	r.wait(t, "the changed import", func() bool {
		return r.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA).Answer[0].Header().Ttl == 18
	})
}

func TestBadCorefileSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		".:0 {\n  nonsense\n}\n":                             ":2 - Error during parsing: Unknown directive 'nonsense'",
		".:0 {\n  errors\n  reload 1s\n}\n":                  ":3",
		".:0 {\n  errors\n  loadbalance unheard\n}\n":        ":3",
		".:0 {\n  route53 example.org.:Z1\n}\n":              `:2 - the plugin "route53" of CoreDNS is not built in`,
		".:0 {\n  kubernetes cluster.local {\n  x\n  }\n}\n": ":3",
		".:0 {\n  errors\n":                                  ":2",
		"# nothing yet\n":                                    ":1 - there is no server block",
	} {
		path := filepath.Join(t.TempDir(), "Corefile")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		log := slog.New(slog.NewTextHandler(&logs{}, nil))
		s, err := New(Config{Corefile: path}, Deps{Log: log, Plugin: plugin.Deps{Live: zone.NewLive(zone.Config{}), Log: log}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(context.Background()); err == nil || !strings.Contains(err.Error(), path+want) {
			t.Errorf("%q: %v; want the file and %q", text, err, want)
		}
	}
}

func TestStopReleasesTheAddresses(t *testing.T) {
	up := startUpstream(t)
	live := cluster(t)
	var udp, tcp string
	t.Run("run", func(t *testing.T) {
		r := start(t, live, kubeadm(up.addr), nil)
		r.fast(t)
		udp, tcp = r.address(t, "udp"), r.address(t, "tcp")
	})
	packet, err := net.ListenPacket("udp", udp)
	if err != nil {
		t.Fatalf("UDP: %v", err)
	}
	_ = packet.Close()
	stream, err := net.Listen("tcp", tcp)
	if err != nil {
		t.Fatalf("TCP: %v", err)
	}
	_ = stream.Close()
}

func TestTwoServersInOneProcess(t *testing.T) {
	up := startUpstream(t)
	a := start(t, cluster(t), kubeadm(up.addr), nil)
	b := start(t, zone.NewLive(zone.Config{}), kubeadm(up.addr), nil)
	if m := a.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA); len(m.Answer) != 1 {
		t.Errorf("the first server: %s", m)
	}
	if m := b.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("the second server, which is not synced: %s", m)
	}
}

func TestBindOfTheConfiguration(t *testing.T) {
	up := startUpstream(t)
	text := strings.Replace(kubeadm(up.addr), "    bind 127.0.0.1\n", "", 1) + "stub.test:0 {\n  whoami\n}\n"
	r := start(t, cluster(t), text, func(c *Config) { c.Bind = []string{"127.0.0.3"} })
	for _, addr := range r.Bound() {
		if !strings.HasPrefix(addr.String(), "127.0.0.3:") {
			t.Errorf("bound to %s", addr)
		}
	}
	r.fast(t)
	if m := r.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA); len(m.Answer) != 1 {
		t.Error(m)
	}
}
