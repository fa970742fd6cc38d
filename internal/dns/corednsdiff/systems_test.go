package corednsdiff

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"k8s.io/client-go/kubernetes"

	"github.com/switchyard-net/switchyard/bench/apiserver"
	"github.com/switchyard-net/switchyard/bench/process"
	"github.com/switchyard-net/switchyard/internal/lab"
)

// patience is for a loaded machine.
const patience = time.Minute

// The two servers have one address, and different ports: what they say of themselves must be the same.
var (
	controlAddress  = netip.MustParsePrefix("10.231.0.1/24")
	serverAddress   = netip.MustParsePrefix("10.231.0.2/24")
	upstreamAddress = netip.MustParseAddrPort("127.0.0.1:53")
	serviceNetworks = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/20"), netip.MustParsePrefix("fd00:96::/112")}
)

// side is one of the two servers: the port of its first variant.
type side uint16

const (
	coredns    side = 1053
	switchyard side = 2053
)

// variant is a server block that both servers have: options of the directive kubernetes, which only the port tells apart.
type variant struct {
	name    string
	zones   string
	options []string
}

// variants are the server blocks, in the order of their ports.
func variants() []variant {
	const reverse = " in-addr.arpa ip6.arpa"
	return []variant{
		{"kubeadm", "cluster.local" + reverse, []string{"pods insecure", "fallthrough in-addr.arpa ip6.arpa", "ttl 30"}},
		{"zonal", "cluster.local" + reverse, []string{"zonal", "fallthrough"}},
		{"ignore", "cluster.local" + reverse, []string{"ignore empty_service", "endpoint_pod_names", "ttl 0"}},
		{"noendpoints", "cluster.local" + reverse, []string{"noendpoints", "pods insecure"}},
		{"namespaces", "cluster.local" + reverse, []string{"namespaces alpha default", "pods insecure"}},
		{"labels", "cluster.local" + reverse, []string{"labels app in (web, db)"}},
		{"namespace_labels", "cluster.local" + reverse, []string{"namespace_labels team=a", "pods insecure"}},
		{"verified", "cluster.local 10.in-addr.arpa example.test", []string{"pods verified", "ttl 3600"}},
	}
}

// address is where the side serves the i-th variant.
func (s side) address(i int) netip.AddrPort {
	return netip.AddrPortFrom(serverAddress.Addr(), uint16(s)+uint16(i))
}

// corefile has a server block for each variant.
func (s side) corefile(kubeconfig string) []byte {
	var text strings.Builder
	for i, v := range variants() {
		fmt.Fprintf(&text, ".:%d {\n  kubernetes %s {\n    kubeconfig %s\n    %s\n  }\n  forward . %s\n  loadbalance\n}\n",
			s.address(i).Port(), v.zones, kubeconfig, strings.Join(v.options, "\n    "), upstreamAddress)
	}
	fmt.Fprintf(&text, ".:%d {\n  prometheus %s\n}\n", uint16(s)-1, s.metrics())
	return []byte(text.String())
}

// metrics is where the side serves its metrics.
func (s side) metrics() netip.AddrPort {
	return netip.AddrPortFrom(upstreamAddress.Addr(), uint16(s)+100)
}

// systems are the two servers over one API server.
type systems struct {
	client    kubernetes.Interface
	namespace *lab.Namespace
	// ours is the process of switchyard.
	ours *process.Process
}

// startSystems starts all for the duration of the test.
func startSystems(t *testing.T) *systems {
	t.Helper()
	if err := lab.Sweep(); err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context()) // the programs end by the cleanup, not by the end of the test's context
	dir := t.TempDir()
	binaries, err := filepath.Abs("../../../bin")
	if err != nil {
		t.Fatal(err)
	}
	api, err := apiserver.Start(ctx, apiserver.Config{
		Binaries: filepath.Join(binaries, "bench"), Dir: dir, Address: controlAddress, Services: serviceNetworks,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := api.Close(); err != nil {
			t.Error(err)
		}
	})
	topology := lab.ForTest(t)
	s := &systems{client: api.Client, namespace: topology.Namespace("dns")}
	topology.Must(api.LAN.Join(s.namespace, "eth0", serverAddress))
	s.serveUpstream(t)
	for name, program := range map[string]struct {
		side side
		args []string
	}{
		"coredns":    {coredns, []string{filepath.Join(binaries, "bench", "coredns"), "-conf"}},
		"switchyard": {switchyard, []string{filepath.Join(binaries, "switchyard"), "dns", "--kubeconfig", api.Kubeconfig, "--corefile"}},
	} {
		if _, err := os.Stat(program.args[0]); err != nil { // looked at, so that go test runs again after a new build
			t.Fatalf("%v; `make build peers` builds it", err)
		}
		path := filepath.Join(dir, name+".corefile")
		topology.Must(os.WriteFile(path, program.side.corefile(api.Kubeconfig), 0o600))
		command := s.namespace.Command(ctx, program.args[0], append(program.args[1:], path)...)
		p, err := process.Start(command, filepath.Join(dir, name+".log"))
		if err != nil {
			t.Fatal(err)
		}
		if program.side == switchyard {
			s.ours = p
		}
		t.Cleanup(func() { s.stop(t, p) })
	}
	return s
}

// stop ends a server, and shows the end of its log if the test has failed.
func (s *systems) stop(t *testing.T, p *process.Process) {
	ended := p.Exited()
	if err := errors.Join(ended, p.Stop()); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(p.Log); t.Failed() && err == nil {
		t.Logf("the end of %s:\n%s", filepath.Base(p.Log), text[max(0, len(text)-2000):])
	}
}

// serveUpstream answers every name below test. and example.com., and no other, for the duration of the test.
func (s *systems) serveUpstream(t *testing.T) {
	t.Helper()
	packets, err := s.namespace.ListenPacket(t.Context(), "udp", upstreamAddress)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := s.namespace.Listen(t.Context(), "tcp", upstreamAddress)
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*dns.Server{
		{PacketConn: packets, Handler: dns.HandlerFunc(upstream)}, {Listener: stream, Handler: dns.HandlerFunc(upstream)},
	} {
		var running sync.WaitGroup
		running.Go(func() { _ = server.ActivateAndServe() }) // returns when it is shut down
		t.Cleanup(func() { _ = server.Shutdown(); running.Wait() })
	}
}

func upstream(w dns.ResponseWriter, r *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(r)
	m.RecursionAvailable = true
	q := r.Question[0]
	name := strings.ToLower(q.Name)
	header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 60}
	switch {
	case !dns.IsSubDomain("test.", name) && !dns.IsSubDomain("example.com.", name):
		m.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypeA:
		m.Answer = []dns.RR{&dns.A{Hdr: header, A: net.IPv4(192, 0, 2, byte(len(name)))}}
	case q.Qtype == dns.TypeAAAA && len(name)%2 == 0:
		m.Answer = []dns.RR{&dns.AAAA{Hdr: header, AAAA: net.ParseIP("2001:db8::1")}}
	}
	_ = w.WriteMsg(m)
}

// asker asks both servers, over one socket for each server and variant.
type asker struct {
	*systems
	sockets map[netip.AddrPort]*dns.Conn
	timeout time.Duration // of one question
}

func (s *systems) newAsker(t *testing.T) *asker {
	a := &asker{systems: s, sockets: map[netip.AddrPort]*dns.Conn{}, timeout: patience}
	t.Cleanup(func() {
		for _, c := range a.sockets {
			_ = c.Close()
		}
	})
	return a
}

// ask sends one question to one server.
func (a *asker) ask(ctx context.Context, server side, q question) (*dns.Msg, error) {
	to := server.address(q.variant)
	var conn *dns.Conn
	if q.tcp {
		dialed, err := a.namespace.Dial(ctx, "tcp", to)
		if err != nil {
			return nil, err
		}
		defer dialed.Close()
		conn = &dns.Conn{Conn: dialed}
	} else if conn = a.sockets[to]; conn == nil {
		dialed, err := a.namespace.Dial(ctx, "udp", to)
		if err != nil {
			return nil, err
		}
		conn = &dns.Conn{Conn: dialed, UDPSize: dns.MaxMsgSize}
		a.sockets[to] = conn
	}
	packet, err := q.msg.Pack()
	if err != nil {
		return nil, err
	}
	_, err = conn.Write(packet[:len(packet)-q.cut])
	if err := errors.Join(conn.SetDeadline(time.Now().Add(a.timeout)), err); err != nil {
		return nil, err
	}
	for {
		reply, err := conn.ReadMsg()
		if err != nil || reply.Id == q.msg.Id {
			return reply, err
		}
	}
}

// both returns the answers of both servers, or an error that says whose is missing.
func (a *asker) both(ctx context.Context, q question) (theirs, ours *dns.Msg, err error) {
	if theirs, err = a.ask(ctx, coredns, q); err != nil {
		return nil, nil, fmt.Errorf("ask CoreDNS %s: %w", q, err)
	}
	if ours, err = a.ask(ctx, switchyard, q); err != nil {
		return nil, nil, fmt.Errorf("ask switchyard %s: %w", q, err)
	}
	return theirs, ours, nil
}
