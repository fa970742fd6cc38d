package zone

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/model"
)

// TestSizes asks for a headless Service of 100 endpoints within several sizes: what is left out must be told, and what
// is there must be whole.
func TestSizes(t *testing.T) {
	z, live := zonesOf(t, Options{})
	live.apply(bigCluster(20).take())
	for _, c := range []struct {
		kind            uint16
		size            int
		answers, extras int
		truncated       bool
	}{
		{typeA, 512, 28, 0, true},
		{typeA, 1232, 73, 0, true},
		{typeA, 4096, 100, 0, false},
		{typeSRV, 512, 6, 0, true},
		{typeSRV, 7200, 100, 6, true},
		{typeSRV, 8192, 100, 68, true},
		{typeSRV, 65535, 100, 100, false},
	} {
		msg, q := question(t, "headless-100.default.svc.cluster.local.", c.kind)
		q.Size = c.size
		msg, reply := z.Answer(msg, q)
		m := unpack(t, msg, reply)
		if len(msg) > c.size || reply.Truncated != c.truncated || len(m.Answer) != c.answers || len(m.Extra) != c.extras {
			t.Errorf("%s in %d bytes: %d bytes, %d answers, %d additional, truncated %v; want %d, %d, %v", dns.TypeToString[c.kind], c.size,
				len(msg), len(m.Answer), len(m.Extra), reply.Truncated, c.answers, c.extras, c.truncated)
		}
	}
}

// TestTurn expects turns to begin with every address equally often, in either family, and to leave none out.
func TestTurn(t *testing.T) {
	z, live := zonesOf(t, Options{})
	ref := model.Ref{Namespace: "default", Name: "db"}
	v4, v6 := slice(ref, "db-v4", 1, 3), slice(ref, "db-v6", 1, 3)
	for i := range v6.Endpoints {
		v6.Endpoints[i].Addr = netip.MustParseAddr(fmt.Sprintf("fd00::%d", i))
	}
	w := &world{}
	w.namespace("default")
	w.service(headlessService(ref))
	w.slices(ref, v4, v6)
	live.apply(w.take())
	for _, kind := range []uint16{typeA, typeAAAA} {
		first := map[string]int{}
		for turn := range uint32(60) {
			msg, q := question(t, "db.default.svc.cluster.local.", kind)
			q.Turn = turn
			m := unpack2(t, z, msg, q)
			if len(m.Answer) != 3 {
				t.Fatalf("turn %d: %d addresses", turn, len(m.Answer))
			}
			_, data, _ := strings.Cut(m.Answer[0].String(), "\tIN\t")
			first[data]++
		}
		if len(first) != 3 || slices.Max(slices.Collect(maps.Values(first))) != 20 {
			t.Errorf("answers begin with %v", first)
		}
	}
}

func unpack2(t *testing.T, z *Zones, msg []byte, q Question) *dns.Msg {
	t.Helper()
	msg, reply := z.Answer(msg, q)
	return unpack(t, msg, reply)
}

// TestLongNames has endpoints whose names are too long in full for a zone of 200 bytes: they are passed over, the others
// stay.
func TestLongNames(t *testing.T) {
	zone := strings.Repeat(strings.Repeat("z", 61)+".", 3)
	z, live := zonesOf(t, Options{Zones: []string{zone, "in-addr.arpa."}})
	ref := model.Ref{Namespace: "default", Name: "db"}
	s := slice(ref, "db-1", 1, 3)
	for i, hostname := range []string{"a", strings.Repeat("b", 63), "c"} {
		s.Endpoints[i].Placement = &model.Placement{Hostname: hostname}
	}
	w := &world{}
	w.namespace("default")
	w.service(headlessService(ref))
	w.slices(ref, s)
	live.apply(w.take())
	got := sections(t, z, live.Table(), "db.default.svc."+zone, typeSRV)
	if len(got) != 1+2+2 || slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "bbb") }) {
		t.Errorf("unexpected answer: %q", got)
	}
	if got := sections(t, z, live.Table(), ReverseName(podAddr(2)), typePTR); got[0] != "NXDOMAIN" {
		t.Errorf("a name that is too long has a PTR record: %q", got)
	}
}

// TestManyPorts has more ports than a portSet holds in itself, half of them twice.
func TestManyPorts(t *testing.T) {
	z, live := zonesOf(t, Options{})
	ref := model.Ref{Namespace: "default", Name: "many"}
	s := slice(ref, "many-1", 1, 2)
	s.Ports = nil
	for i := range 60 {
		s.Ports = append(s.Ports, model.EndpointPort{Name: fmt.Sprintf("p%d", i), Protocol: model.TCP, Port: uint16(1000 + i%30)})
	}
	w := &world{}
	w.namespace("default")
	w.service(headlessService(ref))
	w.slices(ref, s)
	live.apply(w.take())
	msg, q := question(t, "many.default.svc.cluster.local.", typeSRV)
	q.Size = 65535
	m := unpack2(t, z, msg, q)
	ports := map[string]bool{}
	for _, rr := range m.Answer {
		srv := rr.(*dns.SRV)
		ports[fmt.Sprint(srv.Target, srv.Port)] = true
	}
	if len(m.Answer) != 60 || len(ports) != 60 || len(m.Extra) != 2 {
		t.Errorf("%d records of %d ports and %d addresses, want 60, 60 and 2", len(m.Answer), len(ports), len(m.Extra))
	}
}

// TestUnsynced asks before the first snapshot.
func TestUnsynced(t *testing.T) {
	z, live := zonesOf(t, Options{Fallthrough: []string{"in-addr.arpa."}})
	for name, want := range map[string]string{
		"web.default.svc.cluster.local.": "SERVFAIL", "10.0.96.10.in-addr.arpa.": "chain 1",
		"1.ip6.arpa.": "SERVFAIL", "cluster.local.": "NOERROR", "svc.cluster.local.": "NOERROR", "example.com.": "chain 0",
	} {
		if got := sections(t, z, live.Table(), name, typeA)[0]; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	select {
	case <-live.Synced():
		t.Error("synced without a snapshot")
	default:
	}
}

// TestNameServers gives the NS records for the places in which a server may be.
func TestNameServers(t *testing.T) {
	own := netip.MustParseAddr("192.0.2.53")
	z, live := zonesOf(t, Options{Addrs: func() []netip.Addr { return []netip.Addr{own} }})
	ref := model.Ref{Namespace: "kube-system", Name: "dns"}
	w := &world{}
	w.namespace("kube-system")
	check := func(name string, want ...string) {
		t.Helper()
		live.apply(w.take())
		if diff := cmp.Diff(want, sections(t, z, live.Table(), "cluster.local.", typeNS)[1:]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	check("in no Service", "cluster.local.\t30\tIN\tNS\tns.dns.cluster.local.", "ns.dns.cluster.local.\t30\tIN\tA\t192.0.2.53")
	svc := clusterService(ref, 53)
	w.service(svc)
	s := slice(ref, "dns-1", 1, 2)
	s.Endpoints[0].Addr = own
	w.slices(ref, s)
	ofService := []string{"cluster.local.\t30\tIN\tNS\tdns.kube-system.svc.cluster.local.", "dns.kube-system.svc.cluster.local.\t30\tIN\tA\t10.96.0.53"}
	check("an endpoint", ofService...)
	w.slices(ref)
	own = svc.ClusterIPs[0]
	check("the cluster IP itself, which a node binds", ofService...)
	own = podAddr(2)
	w.service(headlessService(ref))
	w.slices(ref, s)
	check("an endpoint of a headless Service",
		"10-128-0-2.dns.kube-system.svc.cluster.local.\t30\tIN\tA\t10.128.0.2",
		"192-0-2-53.dns.kube-system.svc.cluster.local.\t30\tIN\tA\t192.0.2.53",
		"cluster.local.\t30\tIN\tNS\t10-128-0-2.dns.kube-system.svc.cluster.local.",
		"cluster.local.\t30\tIN\tNS\t192-0-2-53.dns.kube-system.svc.cluster.local.")
}

// TestProgrammed expects the latency of slices with a new stamp, and of no others.
func TestProgrammed(t *testing.T) {
	var got []string
	live := NewLive(Config{Programmed: func(kind string, since time.Duration) {
		got = append(got, fmt.Sprint(kind, " ", since.Round(time.Hour)))
	}})
	ref := model.Ref{Namespace: "default", Name: "db"}
	stamped := func(age time.Duration) *model.EndpointSlice {
		s := slice(ref, "db-1", 1, 1)
		s.TriggerTime = time.Now().Add(-age)
		return s
	}
	w := &world{}
	w.changes.All = true
	w.service(headlessService(ref))
	w.slices(ref, stamped(time.Hour))
	live.apply(w.take())
	w.slices(ref, stamped(2*time.Hour))
	live.apply(w.take())
	w.service(clusterService(ref, 1)) // the slice is the same
	live.apply(w.take())
	w.slices(ref, stamped(3*time.Hour))
	live.apply(w.take())
	w.slices(ref, slice(ref, "db-1", 1, 1)) // no stamp
	live.apply(w.take())
	if diff := cmp.Diff([]string{"headless_with_selector 2h0m0s", "cluster_ip 3h0m0s"}, got); diff != "" {
		t.Errorf("latencies (-want +got):\n%s", diff)
	}
}

// TestWrongOptions names what is wrong.
func TestWrongOptions(t *testing.T) {
	always := func(model.Labels) bool { return true }
	for want, o := range map[string]Options{
		"non-reverse zone":      {Zones: []string{"in-addr.arpa."}},
		"is not a domain name":  {Zones: []string{"a..b."}},
		"fallthrough":           {Zones: []string{"a."}, Fallthrough: []string{strings.Repeat("x", 64)}},
		"zonal requires":        {Zones: []string{"a."}, Zonal: true, NoEndpoints: true},
		"cannot both be set":    {Zones: []string{"a."}, Namespaces: []string{"a"}, NamespaceLabels: always},
		"pods verified":         {Zones: []string{"a."}, Pods: PodsVerified},
		"longer than 253":       {Zones: []string{strings.Repeat("abcdefg.", 32)}},
		"non-reverse zone name": {},
	} {
		if _, err := New(o, NewLive(Config{})); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", o, err, want)
		}
	}
}

func TestExplain(t *testing.T) {
	z, live := zonesOf(t, Options{})
	explain := func(name string) string {
		_, q := question(t, name, typeA)
		got, _ := z.Explain(live.Table(), q.Name)
		return got
	}
	if got := explain("web.default.svc.cluster.local."); !strings.Contains(got, "not read completely") {
		t.Errorf("before the first snapshot: %q", got)
	}
	w := bigCluster(20)
	ref := model.Ref{Namespace: "default", Name: "ext"}
	w.service(&model.Service{Ref: ref, Type: model.ExternalName, ExternalName: "a.example"})
	live.apply(w.take())
	for name, want := range map[string]string{
		"service-00007.default.svc.cluster.local.":           "cluster IPs of Service default/service-00007",
		"headless-3.default.svc.cluster.local.":              "3 of 3 ready endpoints of Service default/headless-3",
		"10-128-0-203.headless-3.default.svc.cluster.local.": "1 of 3 ready endpoints of Service default/headless-3",
		"absent.headless-3.default.svc.cluster.local.":       "no ready endpoint of Service default/headless-3 has the name absent; it has 3 ready endpoints",
		"_x._udp.service-00007.default.svc.cluster.local.":   "Service default/service-00007 has no port x of protocol udp",
		"za.pin._zone.headless-3.default.svc.cluster.local.": "no name has this form",
		"absent.default.svc.cluster.local.":                  "there is no Service default/absent",
		"web.absent.svc.cluster.local.":                      "there is no Namespace absent, or the Corefile does not expose it",
		"ext.default.svc.cluster.local.":                     "ExternalName Service default/ext: an alias for a.example",
		"default.svc.cluster.local.":                         "the name exists, and has no records of its own",
		"www.example.com.cluster.local.":                     "no name has this form",
		"7.0.96.10.in-addr.arpa.":                            "10.96.0.7 is a cluster IP of Service default/service-00007",
		"75.0.128.10.in-addr.arpa.":                          "10.128.0.75 is a ready endpoint of Service default/service-00007",
		"1.2.0.192.in-addr.arpa.":                            "192.0.2.1 is neither a cluster IP nor a ready endpoint",
		"10-0-0-1.default.pod.cluster.local.":                "the Corefile has no records of pods (property pods), or none has this address",
		"example.com.":                                       "",
	} {
		if got := explain(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	z, _ := zonesOf(t, Options{Zonal: true})
	for name, want := range map[string]Parts{
		"web.default.svc.cluster.local.":              {Kind: "svc", Namespace: "default", Service: "web"},
		"db-0.db.default.svc.cluster.local.":          {Kind: "svc", Namespace: "default", Service: "db", Endpoint: "db-0"},
		"_http._tcp.web.default.svc.cluster.local.":   {Kind: "svc", Namespace: "default", Service: "web", Port: "http", Protocol: "tcp"},
		"a.b.pin._zone.db.default.svc.cluster.local.": {Kind: "svc", Namespace: "default", Service: "db", Topology: "a.b"},
		"10-0-0-1.default.pod.cluster.local.":         {Kind: "pod", Namespace: "default", Service: "10-0-0-1"},
		"default.svc.cluster.local.":                  {Kind: "svc", Namespace: "default"},
		"other.cluster.local.":                        {Wrong: true},
		"cluster.local.":                              {},
	} {
		_, q := question(t, name, typeA)
		got, ok := z.Describe(q.Name)
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("%s: %v (-want +got):\n%s", name, ok, diff)
		}
	}
	if _, ok := z.Describe([]byte("\x07example\x00")); ok {
		t.Error("a name of another zone was described")
	}
}
