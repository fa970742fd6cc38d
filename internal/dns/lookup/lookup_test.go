package lookup

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
	"github.com/switchyard-net/switchyard/internal/model"
)

func TestNames(t *testing.T) {
	r := Resolver{Search: []string{"a.svc.c.", "svc.c", "c"}, Dots: 5}
	for name, want := range map[string][]string{
		"web":         {"web.a.svc.c.", "web.svc.c.", "web.c.", "web."},
		"web.":        {"web."},
		"a.b.c.d.e.f": {"a.b.c.d.e.f.", "a.b.c.d.e.f.a.svc.c.", "a.b.c.d.e.f.svc.c.", "a.b.c.d.e.f.c."},
	} {
		if diff := cmp.Diff(want, r.Names(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

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

// cluster has the Services default/web, shop/db (headless, with db-0) and shop/outside (an ExternalName).
func cluster(t *testing.T) (*zone.Zones, *model.Snapshot) {
	t.Helper()
	snap := &model.Snapshot{Version: 1}
	for _, name := range []string{"default", "shop"} {
		snap.Namespaces = snap.Namespaces.With(name, &model.Namespace{Name: name})
	}
	for _, s := range []*model.Service{
		{Ref: model.Ref{Namespace: "default", Name: "web"}, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.80")}, Ports: []model.ServicePort{{Protocol: model.TCP, Port: 80}}},
		{Ref: model.Ref{Namespace: "shop", Name: "db"}, Headless: true},
		{Ref: model.Ref{Namespace: "shop", Name: "outside"}, Type: model.ExternalName, ExternalName: "example.com"},
	} {
		snap.Services = snap.Services.With(s.Ref, s)
	}
	db := model.Ref{Namespace: "shop", Name: "db"}
	snap.Slices = snap.Slices.With(db, []*model.EndpointSlice{{
		Ref: model.Ref{Namespace: "shop", Name: "db-x"}, Service: "db", Family: model.IPv4, Headless: true,
		Endpoints: []model.Endpoint{
			{Addr: netip.MustParseAddr("10.244.0.1"), Placement: &model.Placement{Hostname: "db-0"}, Conditions: model.Ready},
			{Addr: netip.MustParseAddr("10.244.0.2"), Placement: &model.Placement{}},
		},
	}})
	synced := make(chan struct{})
	live := zone.NewLive(zone.Config{Swapped: func(*zone.Table) { close(synced) }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = live.Run(ctx, &oneSnapshot{snap: snap}) }()
	t.Cleanup(func() { cancel(); <-done })
	<-synced
	zones, err := zone.New(zone.Options{Zones: []string{"cluster.local.", "in-addr.arpa."}, TTL: 5, Pods: zone.PodsInsecure, Fallthrough: []string{"in-addr.arpa."}}, live)
	if err != nil {
		t.Fatal(err)
	}
	return zones, snap
}

func TestWalkSaysWhoAnswers(t *testing.T) {
	zones, snap := cluster(t)
	r := Resolver{Search: []string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local"}, Dots: 5}
	for _, c := range []struct {
		name  string
		qtype uint16
		want  []string // the last labels of the name, the response code, the first record's data and the object of each step
	}{
		{"db", dns.TypeA, []string{"db.shop.svc.cluster.local. NOERROR 10.244.0.1: Service shop/db (headless); 1 of its 2 endpoints are ready"}},
		{"db-0.db", dns.TypeA, []string{"db-0.db.shop.svc.cluster.local. NOERROR 10.244.0.1: endpoint 10.244.0.1 of Service shop/db (headless), in EndpointSlice shop/db-x"}},
		{"web.default", dns.TypeA, []string{
			"web.default.shop.svc.cluster.local. NXDOMAIN : there is no Service shop/default",
			"web.default.svc.cluster.local. NOERROR 10.96.0.80: Service default/web",
		}},
		{"outside", dns.TypeA, []string{"outside.shop.svc.cluster.local. NOERROR example.com.: Service shop/outside (ExternalName example.com)"}},
		{"80.0.96.10.in-addr.arpa.", dns.TypePTR, []string{"80.0.96.10.in-addr.arpa. NOERROR web.default.svc.cluster.local.: Service default/web"}},
		{"1.2.0.192.in-addr.arpa.", dns.TypePTR, []string{"1.2.0.192.in-addr.arpa.  : no object has this address; the rest of the Corefile answers"}},
		{"web", dns.TypeA, []string{
			"web.shop.svc.cluster.local. NXDOMAIN : there is no Service shop/web", `web.svc.cluster.local. NXDOMAIN : there is no Namespace "web"`,
			"web.cluster.local. NXDOMAIN : no name of this form stands for an object", "web.  : outside of the cluster's zones: the rest of the Corefile answers",
		}},
	} {
		steps, err := Walk(r, c.name, c.qtype, zones, snap)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range steps {
			data := ""
			if len(s.Records) > 0 {
				fields := strings.Fields(s.Records[0].String())
				data = fields[len(fields)-1]
			}
			got = append(got, s.Name+" "+s.Rcode+" "+data+": "+s.Object)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
