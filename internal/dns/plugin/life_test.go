package plugin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
)

const plainCorefile = `cluster.local:0 in-addr.arpa:0 {
    bind 127.0.0.1
    kubernetes cluster.local in-addr.arpa {
        fallthrough in-addr.arpa
    }
    hosts {
        192.0.2.9 nine.cluster.local
    }
}
`

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// TestBeforeTheFirstSnapshot expects failures, which clients retry, instead of denials, which they believe; but names of
// others are passed on.
func TestBeforeTheFirstSnapshot(t *testing.T) {
	c := newCluster().readFile(t, "testdata/cluster.yaml")
	corefile := strings.Replace(plainCorefile, "fallthrough", "startup_timeout 1ms\n        fallthrough", 1)
	s := start(t, testDeps(c.live(t, zone.Config{})), corefile)
	if m := s.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA, nil); m.Rcode != dns.RcodeServerFailure || len(m.Ns) != 1 {
		t.Errorf("before the first snapshot:\n%s", show(m))
	}
	if m := s.ask(t, "udp", "9.2.0.192.in-addr.arpa.", dns.TypePTR, nil); len(m.Answer) != 1 {
		t.Errorf("a name that falls through:\n%s", show(m))
	}
	c.publish()
	eventually(t, "an answer", func() bool {
		return len(s.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA, nil).Answer) == 1
	})
}

// TestChangesAreAnswered changes endpoints, Services and Namespaces of a running server.
func TestChangesAreAnswered(t *testing.T) {
	c := newCluster().readFile(t, "testdata/cluster.yaml")
	s := start(t, testDeps(c.synced(t, zone.Config{})), plainCorefile)
	serial := soaOf(t, s).Serial
	for _, step := range []struct{ objects, name, want string }{
		{slice1, "db-2.db.default.svc.cluster.local.", "10.244.3.10"},
		{service1, "late.new.svc.cluster.local.", ""},
		{"kind: Namespace\nmetadata: {name: new}", "late.new.svc.cluster.local.", "10.96.7.7"},
	} {
		c.apply(t, step.objects)
		c.publish()
		eventually(t, step.name+" is "+step.want, func() bool {
			m := s.ask(t, "udp", step.name, dns.TypeA, nil)
			if step.want == "" {
				return m.Rcode == dns.RcodeNameError
			}
			return len(m.Answer) == 1 && m.Answer[0].(*dns.A).A.String() == step.want
		})
	}
	eventually(t, "a higher serial", func() bool { return soaOf(t, s).Serial > serial })
}

func soaOf(t *testing.T, s *server) *dns.SOA {
	t.Helper()
	m := s.ask(t, "udp", "cluster.local.", dns.TypeSOA, nil)
	if len(m.Answer) != 1 {
		t.Fatalf("no SOA:\n%s", show(m))
	}
	return m.Answer[0].(*dns.SOA)
}

const slice1 = `kind: EndpointSlice
metadata: {name: db-new, namespace: default, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: pg, port: 5432, protocol: TCP}]
endpoints: [{addresses: [10.244.3.10], hostname: db-2}]`

const service1 = `kind: Service
metadata: {name: late, namespace: new}
spec: {clusterIP: 10.96.7.7, clusterIPs: [10.96.7.7], ports: [{port: 80}]}`

// manyEndpoints is a headless Service of that many endpoints.
func manyEndpoints(n int) string {
	var b strings.Builder
	b.WriteString("kind: Service\nmetadata: {name: big, namespace: default}\nspec: {clusterIP: None, clusterIPs: [None]}\n---\n" +
		"kind: EndpointSlice\nmetadata: {name: big-1, namespace: default, labels: {kubernetes.io/service-name: big}}\n" +
		"addressType: IPv4\nports: [{name: rpc, port: 7000, protocol: TCP}]\nendpoints:\n")
	for i := range n {
		fmt.Fprintf(&b, "- {addresses: [10.245.%d.%d]}\n", i>>8, i&255)
	}
	return b.String()
}

// TestTruncation asks for more addresses than fit, as clients with several sizes do.
func TestTruncation(t *testing.T) {
	c := newCluster().readFile(t, "testdata/cluster.yaml")
	c.apply(t, manyEndpoints(300))
	s := start(t, testDeps(c.synced(t, zone.Config{})), plainCorefile)
	for _, tc := range []struct {
		network   string
		size      uint16 // 0: no EDNS
		least     int    // records
		truncated bool
	}{{"udp", 0, 20, true}, {"udp", 1232, 60, true}, {"udp", 4096, 200, true}, {"tcp", 0, 300, false}, {"tcp", 1232, 300, false}} {
		edit := func(m *dns.Msg) {
			if tc.size > 0 {
				m.SetEdns0(tc.size, false)
			}
		}
		m := s.ask(t, tc.network, "big.default.svc.cluster.local.", dns.TypeA, edit)
		m.Compress = true
		wire, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if limit := max(512, int(tc.size)); tc.network == "udp" && len(wire) > limit {
			t.Errorf("%+v: %d bytes", tc, len(wire))
		}
		if m.Truncated != tc.truncated || len(m.Answer) < tc.least || (m.IsEdns0() != nil) != (tc.size > 0) {
			t.Errorf("%+v: truncated %v, %d records, EDNS %v", tc, m.Truncated, len(m.Answer), m.IsEdns0() != nil)
		}
	}
}

// TestAutoPath asks as a pod of this node does that looks for a name outside of the cluster: the first question is the
// last.
func TestAutoPath(t *testing.T) {
	c := newCluster().readFile(t, "testdata/cluster.yaml")
	s := start(t, testDeps(c.synced(t, zone.Config{})), `.:0 {
    bind 127.0.0.1
    autopath @kubernetes
    kubernetes cluster.local
    hosts {
        192.0.2.7 www.example.com
        192.0.2.8 outside.example
    }
}
`)
	for name, want := range map[string]string{
		"www.example.com.default.svc.cluster.local.": "NOERROR aa\n" +
			"an www.example.com. 3600 IN A 192.0.2.7\nan www.example.com.default.svc.cluster.local. 3600 IN CNAME www.example.com.\n",
		"web.shop.default.svc.cluster.local.": "NOERROR aa\n" +
			"an web.shop.default.svc.cluster.local. 5 IN CNAME web.shop.svc.cluster.local.\nan web.shop.svc.cluster.local. 5 IN A 10.96.1.10\n",
		"ext.default.svc.cluster.local.": "NOERROR aa\n" +
			"an ext.default.svc.cluster.local. 5 IN CNAME Outside.example.\nan outside.example. 3600 IN A 192.0.2.8\n",
		"web.default.svc.cluster.local.": "NOERROR aa\nan web.default.svc.cluster.local. 5 IN A 10.96.0.10\n",
	} {
		if diff := cmp.Diff(want, show(s.ask(t, "udp", name, dns.TypeA, nil))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
