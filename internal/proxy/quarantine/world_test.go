package quarantine_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy/quarantine"
)

// behaviour is how an endpoint treats clients, and how it treats probes.
type behaviour struct {
	clients bool // are answered
	probes  quarantine.Outcome
}

// Behaviours of endpoints.
var (
	well        = behaviour{true, quarantine.Answered}
	hung        = behaviour{false, quarantine.Mute}
	refusing    = behaviour{false, quarantine.Refused}
	unreachable = behaviour{false, quarantine.Unreachable}
	slow        = behaviour{false, quarantine.Answered}
)

// world is a kernel, a network and a planner in memory, for a Watch in a synctest bubble.
type world struct {
	t        *testing.T
	watch    *quarantine.Watch
	registry *prometheus.Registry
	events   chan conntrack.Connection

	mu        sync.Mutex
	endpoints map[netip.AddrPort]behaviour
	table     map[uint32]bool // by the id of a connection: whether it was answered
	dials     []time.Time
	silent    string // as last heard of
	said      []string
	failure   error // of Read

	planner  *plan.Planner
	snapshot *model.Snapshot
}

// at returns the endpoint number n.
func at(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, byte(n >> 8), byte(n)}), 8080)
}

// newWorld starts a Watch over Services, "name: 1 2 3" each, whose endpoints are well.
func newWorld(t *testing.T, mode quarantine.Mode, services ...string) *world {
	w := &world{
		t: t, registry: prometheus.NewRegistry(), events: make(chan conntrack.Connection, 10_000),
		endpoints: map[netip.AddrPort]behaviour{}, table: map[uint32]bool{},
		planner: plan.NewPlanner(plan.Config{NodeName: "n1"}, nil), snapshot: &model.Snapshot{},
	}
	for i, text := range services {
		w.add(i, text)
	}
	w.watch = quarantine.New(mode, quarantine.Deps{
		Events: w, Table: w, Reporter: w, Metrics: w.registry, Dial: w.dial, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.watch.Run(ctx) }()
	go w.follow(ctx)
	t.Cleanup(func() {
		w.mu.Lock()
		w.failure = os.ErrClosed
		w.mu.Unlock()
		close(w.events)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

// add adds a Service, or replaces it.
func (w *world) add(index int, text string) {
	name, list, _ := strings.Cut(text, ":")
	ref := model.Ref{Namespace: "ns", Name: name}
	slice := &model.EndpointSlice{Ref: ref, Service: name, Family: model.IPv4, Ports: []model.EndpointPort{{Protocol: model.TCP, Port: 8080}}}
	for word := range strings.FieldsSeq(list) {
		var n int
		if _, err := fmt.Sscan(word, &n); err != nil {
			w.t.Fatal(err)
		}
		if _, known := w.endpoints[at(n)]; !known {
			w.endpoints[at(n)] = well
		}
		slice.Endpoints = append(slice.Endpoints, model.Endpoint{Addr: at(n).Addr(), Placement: &model.Placement{}, Conditions: model.Ready | model.Serving})
	}
	next := *w.snapshot
	next.Services = next.Services.With(ref, &model.Service{
		Ref: ref, ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(index >> 8), byte(index)})}, Ports: []model.ServicePort{{Protocol: model.TCP, Port: 80}},
	})
	next.Slices = next.Slices.With(ref, []*model.EndpointSlice{slice})
	w.snapshot = &next
}

// apply plans, and tells the Watch as a syncer does. w.mu must be held.
func (w *world) apply() {
	p, _, _ := w.planner.Apply(w.snapshot, model.Changes{All: true})
	w.watch.Applied(p, w.snapshot)
}

// follow is the syncer.
func (w *world) follow(ctx context.Context) {
	w.mu.Lock()
	w.apply()
	w.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return
		case silent := <-w.watch.Silent():
			w.mu.Lock()
			w.planner.SetSilent(silent)
			w.silent = numbers(slices.Collect(maps.Keys(silent)))
			w.apply()
			w.mu.Unlock()
		}
	}
}

// numbers writes endpoints by their numbers, in order.
func numbers(list []netip.AddrPort) string {
	slices.SortFunc(list, netip.AddrPort.Compare)
	var words []string
	for _, a := range list {
		b := a.Addr().As4()
		words = append(words, fmt.Sprint(int(b[2])<<8+int(b[3])))
	}
	return strings.Join(words, " ")
}

// set changes how endpoints behave.
func (w *world) set(b behaviour, endpoints ...int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range endpoints {
		w.endpoints[at(n)] = b
	}
}

// clients has a client connect to each of the endpoints ten times a second for so long, and returns when the silent
// endpoints were first those wanted; below zero: never.
func (w *world) clients(howLong time.Duration, want string, endpoints ...int) time.Duration {
	began, met := time.Now(), time.Duration(-1)
	for time.Since(began) < howLong {
		for _, n := range endpoints {
			w.connect(n)
		}
		for range 10 {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
			w.mu.Lock()
			if met < 0 && w.silent == want {
				met = time.Since(began)
			}
			w.mu.Unlock()
		}
	}
	return met
}

// connect makes one connection, unless the endpoint is silent: the rules then lead elsewhere.
func (w *world) connect(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Contains(strings.Fields(w.silent), fmt.Sprint(n)) {
		return
	}
	id := uint32(len(w.table) + 1)
	w.table[id] = w.endpoints[at(n)].clients
	c := conntrack.Connection{Protocol: model.TCP}
	c.ID, c.Source, c.Destination, c.ReplySource = id, netip.MustParseAddrPort("10.244.9.9:1"), netip.MustParseAddrPort("10.96.0.1:80"), at(n)
	w.events <- c
}

// Read is quarantine.Events'.
func (w *world) Read(visit func(conntrack.Connection)) error {
	c, ok := <-w.events
	if !ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.failure
	}
	visit(c)
	for {
		select {
		case c, ok := <-w.events:
			if !ok {
				return nil
			}
			visit(c)
		default:
			return nil
		}
	}
}

// Lookup is quarantine.Table's.
func (w *world) Lookup(c conntrack.Connection) (conntrack.Connection, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.Status, c.Reply = conntrack.SeenReply, conntrack.Traffic{Packets: 1, Bytes: 60}
	if w.table[c.ID] {
		c.Reply = conntrack.Traffic{Packets: 3, Bytes: 1000}
	}
	return c, w.table[c.ID] || w.endpoints[c.ReplySource].probes != quarantine.Refused, nil
}

// dial connects a probe.
func (w *world) dial(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	b := w.endpoints[netip.MustParseAddrPort(address)]
	w.dials = append(w.dials, time.Now())
	w.mu.Unlock()
	switch b.probes {
	case quarantine.Refused:
		return nil, syscall.ECONNREFUSED
	case quarantine.Unreachable:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	here, there := net.Pipe()
	if b.probes == quarantine.Answered {
		time.AfterFunc(time.Millisecond, func() { there.Close() })
	}
	return here, nil
}

// ServiceWarning and ServiceNormal take Events.
func (w *world) ServiceWarning(s *model.Service, reason, message string) { w.say(s, reason, message) }

func (w *world) ServiceNormal(s *model.Service, reason, message string) { w.say(s, reason, message) }

func (w *world) say(s *model.Service, reason, message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, s.Ref.Name+" "+reason+" "+message)
}

// metric returns the sum of a metric over the labels that contain the word.
func (w *world) metric(name, word string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && strings.Contains(fmt.Sprint(m.GetLabel()), word) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
