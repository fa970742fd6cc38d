package stream

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/manifest"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
	"github.com/switchyard-net/switchyard/internal/model"
)

// spec is what a table is made of.
type spec struct {
	protocol  string           // "tcp" or "udp"
	port      uint16           // of the entry; 0: no service
	suffix    string           // of the value in the ConfigMap, such as ":PROXY"
	endpoints []netip.AddrPort // all with one port
	settings  string           // lines of the entry's ConfigMap
}

func (s spec) table(t *testing.T) *route.Table {
	t.Helper()
	port := uint16(1)
	addresses := " []"
	if len(s.endpoints) > 0 {
		addresses = "\n"
	}
	for _, e := range s.endpoints {
		port = e.Port()
		addresses += fmt.Sprintf("- {addresses: [%s], conditions: {ready: true}}\n", e.Addr())
	}
	data := "{}"
	if s.port != 0 {
		data = fmt.Sprintf("{\"%d\": \"ns/svc:%d%s\"}", s.port, port, s.suffix)
	}
	text := fmt.Sprintf(`
apiVersion: v1
kind: ConfigMap
metadata: {namespace: ingress, name: %s-services}
data: %s
---
apiVersion: v1
kind: ConfigMap
metadata: {namespace: ingress, name: controller}
data:
  keep-alive: "75"
%s
---
apiVersion: v1
kind: Service
metadata: {namespace: ns, name: svc}
spec:
  clusterIP: 10.96.0.1
  ports: [{name: p, port: %d, protocol: %s}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: ns, name: svc-1, labels: {kubernetes.io/service-name: svc}}
addressType: IPv4
ports: [{name: p, port: %d, protocol: %s}]
endpoints:%s`, s.protocol, data, s.settings, port, strings.ToUpper(s.protocol), port, strings.ToUpper(s.protocol), addresses)
	file := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := manifest.Read(file)
	if err = errors.Join(append(o.Errors, err)...); err != nil {
		t.Fatal(err)
	}
	ref := func(name string) model.Ref { return model.Ref{Namespace: "ingress", Name: name} }
	table, problems := route.Build(&o.Snapshot, route.Config{ConfigMap: ref("controller"), TCP: ref("tcp-services"), UDP: ref("udp-services")})
	for _, p := range problems {
		t.Error(p)
	}
	return table
}

// start runs Services with a table on two loops.
func start(t *testing.T, table *route.Table) (*Services, chan *Report) {
	t.Helper()
	ended := make(chan *Report, 100)
	config := Config{
		Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Balancer: balance.New(balance.Config{}),
		Ended: func(r *Report) { ended <- r },
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for range 2 {
		l, err := loop.New(loop.Config{Log: slog.Default(), Panic: func() { t.Error("a task panicked") }})
		if err != nil {
			t.Fatal(err)
		}
		config.Loops = append(config.Loops, l)
		running.Go(func() { _ = l.Run(ctx) })
	}
	s := New(config)
	s.Apply(table)
	if problems := s.Start(); len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		cancel()
		running.Wait()
	})
	return s, ended
}

// freePort returns a port that nobody uses.
func freePort(t *testing.T, network string) uint16 {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return netip.MustParseAddrPort(c.LocalAddr().String()).Port()
	}
	return listenTCP(t, "127.0.0.1:0", nil, true).Port()
}

// listenTCP serves connections; with shut it only finds a port.
func listenTCP(t *testing.T, addr string, serve func(net.Conn), shut bool) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	if shut {
		l.Close()
		return at
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
				serve(c)
			}()
		}
	}()
	return at
}

// echo sends back what it gets, with a last word after the client's end.
func echo(c net.Conn) {
	_, _ = io.Copy(c, c)
	_, _ = io.WriteString(c, "bye")
}

func dial(t *testing.T, port uint16) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(*net.TCPConn)
}

// exchange sends a word and reads it back.
func exchange(c net.Conn, word string) error {
	if _, err := io.WriteString(c, word); err != nil {
		return err
	}
	got := make([]byte, len(word))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != word {
		return fmt.Errorf("%q came back of %q: %w", got, word, err)
	}
	return nil
}

func TestTCP(t *testing.T) {
	endpoint := listenTCP(t, "127.0.0.1:0", echo, false)
	port := freePort(t, "tcp")
	_, ended := start(t, spec{protocol: "tcp", port: port, endpoints: []netip.AddrPort{endpoint}}.table(t))
	sent := make([]byte, 8<<20)
	_, _ = rand.Read(sent)
	c := dial(t, port)
	go func() {
		_, _ = c.Write(sent)
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(c) // the other way stays open after our end
	if err != nil || !bytes.Equal(got, append(sent, "bye"...)) {
		t.Errorf("%d bytes came back of %d: %v", len(got), len(sent), err)
	}
	r := <-ended
	want := Result{Endpoint: endpoint, Up: 8 << 20, Down: 8<<20 + 3}
	if diff := cmp.Diff(want, r.Result, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" || r.Port != port {
		t.Error(r.Port, diff)
	}
}

func TestOtherEndpoint(t *testing.T) {
	endpoint := listenTCP(t, "127.0.0.1:0", echo, false)
	dead := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), endpoint.Port())
	port := freePort(t, "tcp")
	s, ended := start(t, spec{protocol: "tcp", port: port, endpoints: []netip.AddrPort{dead, endpoint}}.table(t))
	for range 10 {
		if err := exchange(dial(t, port), "hello"); err != nil {
			t.Error(err)
		}
	}
	s.Apply(spec{protocol: "tcp", port: port, endpoints: []netip.AddrPort{dead}}.table(t))
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil { // it may be reset before Dial returns
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if err := exchange(c, "hello"); err == nil {
			t.Error("a connection to no endpoint")
		}
		c.Close()
	}
	for r := range ended {
		if r.Err == nil {
			continue
		}
		if !errors.Is(r.Err, ErrNoEndpoint) || !strings.Contains(r.Err.Error(), "ns/svc") {
			t.Error(r.Err)
		}
		break
	}
}

func TestProxyProtocol(t *testing.T) {
	heard := make(chan string, 10)
	endpoint := listenTCP(t, "127.0.0.1:0", func(c net.Conn) {
		b := make([]byte, 1000)
		n := 0
		for !bytes.HasSuffix(b[:n], []byte("hello")) {
			m, err := c.Read(b[n:])
			if err != nil {
				return
			}
			n += m
		}
		heard <- string(b[:n])
	}, false)
	port := freePort(t, "tcp")
	with := func(settings string) *route.Table {
		return spec{protocol: "tcp", port: port, suffix: ":PROXY:PROXY", endpoints: []netip.AddrPort{endpoint}, settings: settings}.table(t)
	}
	s, ended := start(t, with(""))
	c := dial(t, port)
	_, _ = io.WriteString(c, "PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\nhello")
	if got, want := <-heard, "PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\nhello"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.Close()
	if r := <-ended; r.Client != netip.MustParseAddrPort("192.0.2.1:1234") {
		t.Errorf("client %s", r.Client)
	}
	s.Apply(with("  proxy-real-ip-cidr: 198.51.100.0/24"))
	c = dial(t, port)
	_, _ = io.WriteString(c, "PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\nhello")
	if got, want := <-heard, fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\nhello", c.LocalAddr().(*net.TCPAddr).Port, port); got != want {
		t.Errorf("of one who is not believed: got %q, want %q", got, want)
	}
	c = dial(t, port)
	_, _ = io.WriteString(c, "hello")
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a connection without the header")
	}
}

func TestConnectionsOutliveTheirPort(t *testing.T) {
	endpoint := listenTCP(t, "127.0.0.1:0", echo, false)
	port := freePort(t, "tcp")
	s, _ := start(t, spec{protocol: "tcp", port: port, endpoints: []netip.AddrPort{endpoint}}.table(t))
	c := dial(t, port)
	if err := exchange(c, "before"); err != nil {
		t.Fatal(err)
	}
	for _, next := range []spec{{protocol: "tcp", port: port}, {protocol: "tcp"}} {
		s.Apply(next.table(t))
		if err := exchange(c, "after"); err != nil {
			t.Error(err)
		}
	}
	if other, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
		other.Close()
		t.Error("the port is still open")
	}
	if s.Open() != 1 {
		t.Errorf("%d sessions", s.Open())
	}
}

func TestSilence(t *testing.T) {
	endpoint := listenTCP(t, "127.0.0.1:0", func(c net.Conn) {
		for range 8 { // only this way is anything sent
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
		_, _ = io.Copy(io.Discard, c)
	}, false)
	port := freePort(t, "tcp")
	_, ended := start(t, spec{protocol: "tcp", port: port, endpoints: []netip.AddrPort{endpoint}, settings: "  proxy-stream-timeout: 1s"}.table(t))
	c := dial(t, port)
	if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("more came")
	}
	if r := <-ended; !errors.Is(r.Err, os.ErrDeadlineExceeded) || r.Down != 8 || r.Took < 2*time.Second {
		t.Errorf("%+v", r)
	}
}

func TestPortInUse(t *testing.T) {
	endpoint := listenTCP(t, "127.0.0.1:0", echo, false)
	s, _ := start(t, spec{protocol: "tcp"}.table(t))
	table := spec{protocol: "tcp", port: endpoint.Port(), endpoints: []netip.AddrPort{endpoint}}.table(t)
	problems := s.Apply(table)
	if len(problems) != 1 || problems[0].Reason != route.ReasonStream || !strings.Contains(problems[0].Message, "address already in use") {
		t.Errorf("problems %v", problems)
	}
}

// udpEcho answers with its name before what it gets.
func udpEcho(t *testing.T, addr, name string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(append([]byte(name), b[:n]...), from)
		}
	}()
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

func TestUDP(t *testing.T) {
	first := udpEcho(t, "127.0.0.1:0", "first ")
	second := udpEcho(t, fmt.Sprintf("127.0.0.2:%d", first.Port()), "second ")
	port := freePort(t, "udp")
	s, _ := start(t, spec{protocol: "udp", port: port, endpoints: []netip.AddrPort{first}}.table(t))
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func() string {
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(c, "hello")
		b := make([]byte, 100)
		n, err := c.Read(b)
		if err != nil {
			return err.Error()
		}
		return string(b[:n])
	}
	for range 3 {
		if got := ask(); got != "first hello" {
			t.Errorf("got %q", got)
		}
	}
	s.Apply(spec{protocol: "udp", port: port, endpoints: []netip.AddrPort{first, second}}.table(t))
	if got := ask(); got != "first hello" {
		t.Errorf("another endpoint appeared: got %q", got)
	}
	s.Apply(spec{protocol: "udp", port: port, endpoints: []netip.AddrPort{second}}.table(t))
	if got := ask(); got != "second hello" {
		t.Errorf("its endpoint has gone: got %q", got)
	}
	s.Apply(spec{protocol: "udp"}.table(t))
	if got := ask(); !strings.Contains(got, "refused") {
		t.Errorf("its port has gone: got %q", got)
	}
}
