package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/plugin"
	"github.com/switchyard-net/switchyard/internal/dns/zone"
	"github.com/switchyard-net/switchyard/internal/model"
)

const patience = 60 * time.Second

// oneSnapshot is a source that has one snapshot.
type oneSnapshot struct {
	snap *model.Snapshot
	told bool
}

func (s *oneSnapshot) Next(ctx context.Context) (*model.Snapshot, model.Changes, error) {
	if s.told {
		<-ctx.Done()
		return nil, model.Changes{}, ctx.Err()
	}
	s.told = true
	return s.snap, model.Changes{All: true}, nil
}

// addService adds a Service with n endpoints, headless or not, in namespace default.
func addService(snap *model.Snapshot, name string, headless bool, n int) {
	ref := model.Ref{Namespace: "default", Name: name}
	service := &model.Service{Ref: ref, Headless: headless, Ports: []model.ServicePort{
		{Name: "http", Protocol: model.TCP, Port: 80}, {Name: "dns", Protocol: model.UDP, Port: 53},
	}}
	if !headless {
		service.ClusterIPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(snap.Services.Len()), 1}), netip.MustParseAddr(fmt.Sprintf("fd00:10:96::%x", snap.Services.Len()+1))}
	}
	for family, prefix := range map[model.Family]string{model.IPv4: "10.244.%d.%d", model.IPv6: "fd00:10:244::%x:%x"} {
		slice := &model.EndpointSlice{
			Ref: model.Ref{Namespace: "default", Name: name + "-" + family.String()}, Service: name, Family: family, Headless: headless,
			Ports: []model.EndpointPort{{Name: "http", Protocol: model.TCP, Port: 8080}, {Name: "dns", Protocol: model.UDP, Port: 5353}},
		}
		for i := range n {
			slice.Endpoints = append(slice.Endpoints, model.Endpoint{
				Addr:      netip.MustParseAddr(fmt.Sprintf(prefix, snap.Services.Len(), i+1)),
				Placement: &model.Placement{Hostname: fmt.Sprintf("%s-%d", name, i)}, Conditions: model.Ready | model.Serving,
			})
		}
		slices, _ := snap.Slices.Get(ref)
		snap.Slices = snap.Slices.With(ref, append(slices, slice))
	}
	snap.Services = snap.Services.With(ref, service)
}

// cluster returns the table of a cluster with the Services web, db (headless, 3 endpoints), many (headless, 100), empty
// (headless, none) and outside (an ExternalName).
func cluster(t *testing.T) *zone.Live {
	t.Helper()
	snap := &model.Snapshot{Version: 1}
	for _, name := range []string{"default", "kube-system"} {
		snap.Namespaces = snap.Namespaces.With(name, &model.Namespace{Name: name})
	}
	addService(snap, "web", false, 2)
	addService(snap, "db", true, 3)
	addService(snap, "many", true, 100)
	addService(snap, "empty", true, 0)
	outside := model.Ref{Namespace: "default", Name: "outside"}
	snap.Services = snap.Services.With(outside, &model.Service{Ref: outside, Type: model.ExternalName, ExternalName: "www.example.com"})
	synced := make(chan struct{})
	live := zone.NewLive(zone.Config{Swapped: func(*zone.Table) { close(synced) }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = live.Run(ctx, &oneSnapshot{snap: snap}) }()
	t.Cleanup(func() { cancel(); <-done })
	<-synced
	return live
}

// logs collects what a server logs.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// running is a server that ends with the test.
type running struct {
	*Server
	logs *logs
	path string // of the Corefile
}

// writeCorefile replaces the Corefile in one step, as a kubelet does.
func (r *running) writeCorefile(t *testing.T, text string) {
	t.Helper()
	replace(t, r.path, text)
}

func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// start serves by a Corefile.
func start(t *testing.T, live *zone.Live, corefile string, change func(*Config)) *running {
	t.Helper()
	return startServer(t, live, corefile, func(config *Config, _ *Deps) {
		if change != nil {
			change(config)
		}
	})
}

// startServer serves by a Corefile, with what change makes of the configuration.
func startServer(t *testing.T, live *zone.Live, corefile string, change func(*Config, *Deps)) *running {
	t.Helper()
	r := &running{logs: &logs{}, path: filepath.Join(t.TempDir(), "Corefile")}
	r.writeCorefile(t, corefile)
	log := slog.New(slog.NewTextHandler(r.logs, nil))
	config, deps := Config{Corefile: r.path, Sockets: 2}, Deps{Plugin: plugin.Deps{Live: live, Log: log}, Log: log}
	change(&config, &deps)
	s, err := New(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(r.logs)
		}
	})
	select {
	case <-s.Started():
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	return r
}

// address returns where a network's listener is.
func (r *running) address(t *testing.T, network string) string {
	t.Helper()
	for _, addr := range r.Bound() {
		if addr.Network() == network {
			return addr.String()
		}
	}
	t.Fatalf("nothing listens on %s", network)
	return ""
}

// waitFast waits until a zone's questions are answered by the fast path, or by CoreDNS for a reason.
func (r *running) wait(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// fast waits until the fast path is in place.
func (r *running) fast(t *testing.T) {
	t.Helper()
	r.wait(t, "fast path", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.listeners) > 0
	})
}

// ask returns the answer to a question.
func (r *running) ask(t *testing.T, network, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	return r.exchange(t, network, m)
}

func (r *running) exchange(t *testing.T, network string, m *dns.Msg) *dns.Msg {
	t.Helper()
	client := &dns.Client{Net: network, Timeout: patience, UDPSize: dns.MaxMsgSize}
	reply, _, err := client.Exchange(m, r.address(t, network))
	if err != nil {
		t.Fatalf("%s over %s: %v", m.Question[0].String(), network, err)
	}
	return reply
}

// answers returns the records of an answer without their class, on one line.
func answers(m *dns.Msg) string {
	var all []string
	for _, rr := range m.Answer {
		fields := strings.Fields(rr.String())
		all = append(all, strings.Join(append(fields[:1:1], fields[3:]...), " "))
	}
	return strings.Join(all, ", ")
}

// upstream is a name server on loopback that counts its questions; every name but those in absent. has the address 192.0.2.53.
type upstream struct {
	addr string
	mu   sync.Mutex
	seen int
}

func (u *upstream) questions() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen
}

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.addr = conn.LocalAddr().String()
	soa, err := dns.NewRR("absent. 30 IN SOA ns.absent. admin.absent. 1 2 3 4 30")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		u.mu.Lock()
		u.seen++
		u.mu.Unlock()
		m := new(dns.Msg)
		m.SetReply(r)
		m.RecursionAvailable = true
		name := r.Question[0].Name
		switch {
		case strings.HasSuffix(strings.ToLower(name), "absent."):
			m.Rcode, m.Ns = dns.RcodeNameError, []dns.RR{soa}
		case r.Question[0].Qtype == dns.TypeA:
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(192, 0, 2, 53)}}
		}
		_ = w.WriteMsg(m)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown(); <-done })
	return u
}
