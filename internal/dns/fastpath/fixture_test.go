package fastpath

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
	"github.com/switchyard-net/switchyard/internal/model"
)

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

// addService adds a Service with n endpoints, headless or not.
func addService(snap *model.Snapshot, name string, headless bool, n int) {
	ref := model.Ref{Namespace: "default", Name: name}
	service := &model.Service{Ref: ref, Headless: headless, Ports: []model.ServicePort{{Name: "http", Protocol: model.TCP, Port: 80}}}
	if !headless {
		service.ClusterIPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(snap.Services.Len()), 1}), netip.MustParseAddr("fd00:10:96::1")}
	}
	slice := &model.EndpointSlice{
		Ref: model.Ref{Namespace: "default", Name: name + "-1"}, Service: name, Family: model.IPv4, Headless: headless,
		Ports: []model.EndpointPort{{Name: "http", Protocol: model.TCP, Port: 8080}},
	}
	for i := range n {
		slice.Endpoints = append(slice.Endpoints, model.Endpoint{
			Addr:      netip.AddrFrom4([4]byte{10, 244, byte(i / 256), byte(i)}),
			Placement: &model.Placement{Hostname: fmt.Sprintf("%s-%d", name, i)}, Conditions: model.Ready | model.Serving,
		})
	}
	snap.Services = snap.Services.With(ref, service)
	snap.Slices = snap.Slices.With(ref, []*model.EndpointSlice{slice})
}

// clusterZones answers for cluster.local with the Services web, db (headless, 3 endpoints) and many (headless, 100).
func clusterZones(tb testing.TB) *zone.Zones {
	tb.Helper()
	snap := &model.Snapshot{Version: 1}
	snap.Namespaces = snap.Namespaces.With("default", &model.Namespace{Name: "default"})
	snap.Namespaces = snap.Namespaces.With("other", &model.Namespace{Name: "other"})
	addService(snap, "web", false, 1)
	addService(snap, "db", true, 3)
	addService(snap, "many", true, 100)
	ctx, cancel := context.WithCancel(context.Background())
	synced := make(chan struct{})
	live := zone.NewLive(zone.Config{Swapped: func(*zone.Table) { close(synced) }})
	done := make(chan struct{})
	go func() { defer close(done); _ = live.Run(ctx, &oneSnapshot{snap: snap}) }()
	tb.Cleanup(func() { cancel(); <-done })
	<-synced
	zones, err := zone.New(zone.Options{Zones: []string{"cluster.local.", "in-addr.arpa.", "ip6.arpa."}, TTL: 30, Pods: zone.PodsInsecure, Fallthrough: []string{"in-addr.arpa.", "ip6.arpa."}}, live)
	if err != nil {
		tb.Fatal(err)
	}
	return zones
}

// clusterRoutes are those of kubeadm's Corefile, over clusterZones.
func clusterRoutes(tb testing.TB, change func(*Route)) *Routes {
	tb.Helper()
	cache, err := NewCache(CacheConfig{Zones: []string{"."}, Exclude: []string{"cluster.local."}})
	if err != nil {
		tb.Fatal(err)
	}
	r := Route{Zone: ".", Answers: clusterZones(tb), Rotate: true, Cache: cache, Counts: NewCounts(1)}
	if change != nil {
		change(&r)
	}
	routes, err := NewRoutes([]Route{r})
	if err != nil {
		tb.Fatal(err)
	}
	return routes
}

// packed returns a question.
func packed(tb testing.TB, name string, qtype uint16, change func(*dns.Msg)) []byte {
	tb.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	if change != nil {
		change(m)
	}
	packet, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return packet
}

// edns gives a question an OPT record.
func edns(size uint16, dnssec bool) func(*dns.Msg) {
	return func(m *dns.Msg) { m.SetEdns0(size, dnssec) }
}
