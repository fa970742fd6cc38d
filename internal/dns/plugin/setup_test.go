package plugin

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/coredns/coredns/plugin/metadata"
	"github.com/coredns/coredns/request"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
)

// TestCorefileErrors gives a wrong property in line 4 of a Corefile.
func TestCorefileErrors(t *testing.T) {
	live := zone.NewLive(zone.Config{})
	for property, want := range map[string]string{
		"nonsense":                         "unknown property 'nonsense'",
		"pods":                             "Wrong argument count",
		"pods sometimes":                   "must be one of: disabled, verified, insecure",
		"ttl":                              "Wrong argument count",
		"ttl -1":                           "range [0, 3600]",
		"ttl 3601":                         "range [0, 3600]",
		"ttl soon":                         "not a whole number",
		"namespaces":                       "Wrong argument count",
		"labels":                           "Wrong argument count",
		"labels a=(":                       "unable to parse labels",
		"namespace_labels a>3":             "unable to parse namespace_labels",
		"endpoint_pod_names x":             "Wrong argument count",
		"noendpoints x":                    "Wrong argument count",
		"zonal x":                          "Wrong argument count",
		"ignore nothing":                   "unable to parse ignore value",
		"startup_timeout":                  "Wrong argument count",
		"startup_timeout soon":             "not a duration",
		"multicluster clusterset.local":    "multicluster is not supported",
		"endpoint":                         "Wrong argument count",
		"tls a b":                          "Wrong argument count",
		"kubeconfig":                       "Wrong argument count",
		"apiserver_qps -1":                 "apiserver_qps",
		"apiserver_burst 1.5":              "apiserver_burst",
		"apiserver_max_inflight x":         "apiserver_max_inflight",
		"zonal\nnoendpoints":               "zonal requires",
		"namespaces a\nnamespace_labels b": "cannot both be set",
	} {
		_, err := load(testDeps(live), "cluster.local:0 {\n bind 127.0.0.1\n kubernetes cluster.local {\n"+property+"\n}\n}\n")
		line := "Corefile:4 - "
		if strings.Contains(property, "\n") {
			line = "Corefile:6 - " // found at the end of the block
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), line) || !strings.Contains(err.Error(), "plugin/kubernetes") {
			t.Errorf("%q: error %v, want %q in line 4", property, err, want)
		}
	}
	_, err := load(testDeps(live), "in-addr.arpa:0 {\n switchyard\n}\n")
	if err == nil || !strings.Contains(err.Error(), "non-reverse zone") || !strings.Contains(err.Error(), "plugin/switchyard") {
		t.Errorf("no forward zone: error %v", err)
	}
	twice := "cluster.local:0 {\n kubernetes\n kubernetes\n}\n"
	if _, err := load(testDeps(live), twice); err == nil || !strings.Contains(err.Error(), "only be used once") {
		t.Errorf("twice: error %v", err)
	}
}

// TestFactsThatAreNotKept says so in the line that needs them.
func TestFactsThatAreNotKept(t *testing.T) {
	d := testDeps(zone.NewLive(zone.Config{}))
	d.Keeps = Keeps{}
	for _, property := range []string{"endpoint_pod_names", "labels a=b", "namespace_labels a=b"} {
		_, err := load(d, "cluster.local:0 {\n kubernetes {\n "+property+"\n }\n}\n")
		if err == nil || !strings.Contains(err.Error(), "Corefile:3") || !strings.Contains(err.Error(), "restart it") {
			t.Errorf("%q: error %v", property, err)
		}
	}
}

// TestAcceptedProperties are about the API server, which is not the plugin's business here, or say what is the default.
func TestAcceptedProperties(t *testing.T) {
	c := newCluster().readFile(t, "testdata/cluster.yaml")
	d := testDeps(c.synced(t, zone.Config{}))
	d.PodAt = nil
	s := start(t, d, `cluster.local:0 {
    bind 127.0.0.1
    kubernetes cluster.local {
        endpoint https://api:6443 https://other:6443
        tls cert key ca
        kubeconfig /etc/config context
        apiserver_qps 10.5
        apiserver_burst 3
        apiserver_max_inflight 0
        ignore
        startup_timeout 30s
        pods verified
    }
}
`)
	if m := s.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA, nil); len(m.Answer) != 1 {
		t.Errorf("unexpected answer:\n%s", show(m))
	}
	if m := s.ask(t, "udp", "10-244-1-1.default.pod.cluster.local.", dns.TypeA, nil); m.Rcode != dns.RcodeNameError {
		t.Errorf("a pod of which nothing is known:\n%s", show(m))
	}
}

// client is a response writer for questions from an address.
type client struct {
	dns.ResponseWriter
	addr net.Addr
}

func (c client) RemoteAddr() net.Addr { return c.addr }

func TestMetadata(t *testing.T) {
	o := zone.Options{Zones: []string{"cluster.local."}, Zonal: true}
	zones, err := zone.New(o, zone.NewLive(zone.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{name: KubernetesDirective, deps: testDeps(nil), zones: zones, options: o}
	get := func(addr, name string) map[string]string {
		m := new(dns.Msg)
		m.SetQuestion(name, dns.TypeA)
		w := client{addr: &net.UDPAddr{IP: net.ParseIP(addr)}}
		ctx := h.Metadata(metadata.ContextWithMetadata(context.Background()), request.Request{Req: m, W: w})
		out := map[string]string{}
		for _, label := range metadata.Labels(ctx) {
			if v := metadata.ValueFunc(ctx, label)(); v != "" {
				out[strings.TrimPrefix(label, "kubernetes/")] = v
			}
		}
		return out
	}
	for name, want := range map[string]map[string]string{
		"_HTTP._tcp.web.default.svc.cluster.local.": {
			"kind": "svc", "namespace": "default", "service": "web", "port-name": "http", "protocol": "tcp",
			"client-namespace": "default", "client-pod-name": "client", "client-label/app": "client",
		},
		"za.pin._zone.db.default.svc.cluster.local.": {
			"kind": "svc", "namespace": "default", "service": "db", "zone": "za",
			"client-namespace": "default", "client-pod-name": "client", "client-label/app": "client",
		},
	} {
		if diff := cmp.Diff(want, get("127.0.0.1", name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(map[string]string{"parse-error": "invalid query name"}, get("192.0.2.1", "x.other.cluster.local.")); diff != "" {
		t.Errorf("a name of no form, from no pod (-want +got):\n%s", diff)
	}
	if got := get("192.0.2.1", "example.com."); len(got) != 0 {
		t.Errorf("a name of another zone: %v", got)
	}
}

func TestBound(t *testing.T) {
	for want, hosts := range map[string][]string{
		"10.0.0.2 2001:db8::2": {"10.0.0.2", "127.0.0.1", "2001:db8::2/64", "fe80::1"},
		"127.0.0.1":            {"127.0.0.1"},
	} {
		var expected []netip.Addr
		for field := range strings.FieldsSeq(want) {
			expected = append(expected, netip.MustParseAddr(field))
		}
		if diff := cmp.Diff(expected, bound(hosts), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%v (-want +got):\n%s", hosts, diff)
		}
	}
	for _, a := range bound(nil) {
		if a.IsLoopback() {
			t.Errorf("%s is among the machine's addresses", a)
		}
	}
}
