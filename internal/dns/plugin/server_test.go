package plugin

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/plugin/autopath"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/metadata"
	clog "github.com/coredns/coredns/plugin/pkg/log"
	_ "github.com/coredns/coredns/plugin/transfer"
	"github.com/miekg/dns"
)

// deps are those of the server that is being started; the registry of directives is the process's.
var deps atomic.Pointer[Deps]

func TestMain(m *testing.M) {
	dnsserver.Quiet, caddy.Quiet = true, true
	clog.Discard()
	Register(func(*caddy.Controller) (Deps, error) { return *deps.Load(), nil })
	err := dnsserver.SetDirectives([]string{
		"metadata", "bind", "errors", "autopath", "transfer", Directive, KubernetesDirective, "hosts",
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// server is a running CoreDNS with the plugin in it.
type server struct {
	udp, tcp string
}

// start starts CoreDNS with a Corefile whose blocks listen on port 0 of 127.0.0.1, for the duration of the test.
func start(t *testing.T, d Deps, corefile string) *server {
	t.Helper()
	instance, err := load(d, corefile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, instance) })
	first := instance.Servers()[0]
	return &server{udp: first.LocalAddr().String(), tcp: first.Addr().String()}
}

func load(d Deps, corefile string) (*caddy.Instance, error) {
	deps.Store(&d)
	return caddy.Start(caddy.CaddyfileInput{Filepath: "Corefile", Contents: []byte(corefile), ServerTypeName: "dns"})
}

func stop(t *testing.T, instance *caddy.Instance) {
	for _, err := range instance.ShutdownCallbacks() {
		t.Error(err)
	}
	if err := instance.Stop(); err != nil {
		t.Error(err)
	}
}

// patience is for an answer on a loaded machine.
const patience = 30 * time.Second

// ask sends a question over udp or tcp.
func (s *server) ask(t *testing.T, network, name string, kind uint16, edit func(*dns.Msg)) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	if edit != nil {
		edit(m)
	}
	addr := s.udp
	if network == "tcp" {
		addr = s.tcp
	}
	client := dns.Client{Net: network, Timeout: patience}
	answer, _, err := client.Exchange(m, addr)
	if err != nil {
		t.Fatalf("ask %s %s over %s: %v", name, dns.TypeToString[kind], network, err)
	}
	return answer
}

// show returns the answer as text, one record a line, in order. The serial number is left out.
func show(m *dns.Msg) string {
	var b strings.Builder
	fmt.Fprint(&b, dns.RcodeToString[m.Rcode])
	for _, flag := range []struct {
		set  bool
		name string
	}{{m.Authoritative, "aa"}, {m.Truncated, "tc"}} {
		if flag.set {
			fmt.Fprint(&b, " ", flag.name)
		}
	}
	b.WriteString("\n")
	for _, section := range []struct {
		name    string
		records []dns.RR
	}{{"an", m.Answer}, {"ns", m.Ns}, {"ar", m.Extra}} {
		var lines []string
		for _, rr := range section.records {
			if soa, ok := rr.(*dns.SOA); ok {
				copied := *soa
				copied.Serial = 0
				rr = &copied
			}
			if rr.Header().Rrtype != dns.TypeOPT {
				lines = append(lines, section.name+" "+strings.ReplaceAll(rr.String(), "\t", " ")+"\n")
			}
		}
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, ""))
	}
	return b.String()
}
