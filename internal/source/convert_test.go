package source

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/internal/model"
)

// fromYAML returns the object that text describes, as a user would write it.
func fromYAML[T any](t *testing.T, text string) *T {
	t.Helper()
	o := new(T)
	if err := yaml.Unmarshal([]byte(text), o); err != nil {
		t.Fatal(err)
	}
	return o
}

func equal(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.IgnoreFields(model.Problem{}, "Message")); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func addrs(in ...string) (out []netip.Addr) {
	for _, s := range in {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func prefixes(in ...string) (out []netip.Prefix) {
	for _, s := range in {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestServiceFacts(t *testing.T) {
	got := Service(fromYAML[corev1.Service](t, `
metadata: {namespace: shop, name: web, uid: u1, labels: {service.kubernetes.io/service-proxy-name: other}}
spec:
  type: LoadBalancer
  clusterIP: 10.0.0.10
  clusterIPs: [10.0.0.10, "fd00::10"]
  externalIPs: ["::ffff:192.0.2.7", "", 010.1.1.1]
  sessionAffinity: ClientIP
  internalTrafficPolicy: Local
  externalTrafficPolicy: Local
  healthCheckNodePort: 32000
  trafficDistribution: PreferSameZone
  publishNotReadyAddresses: true
  loadBalancerSourceRanges: [" 192.0.2.77/24 ", "2001:db8::1/32", " "]
  ports:
  - {name: http, port: 80, targetPort: web, nodePort: 30080, appProtocol: h2c}
  - {name: dns, port: 53, targetPort: 5353, protocol: UDP}
status:
  loadBalancer:
    ingress: [{ip: 203.0.113.1}, {ip: 203.0.113.2, ipMode: Proxy}, {hostname: lb.example}, {ip: 203.0.113.3, ipMode: VIP}]
`))
	equal(t, &model.Service{
		Ref: model.Ref{Namespace: "shop", Name: "web"}, UID: "u1", Type: model.LoadBalancer,
		ClusterIPs:   addrs("10.0.0.10", "fd00::10"),
		ExternalIPs:  addrs("192.0.2.7", "10.1.1.1"),
		IngressNames: []string{"lb.example"},
		Ingress: []model.BalancerAddress{
			{Addr: netip.MustParseAddr("203.0.113.1")}, {Addr: netip.MustParseAddr("203.0.113.2"), Proxy: true}, {Addr: netip.MustParseAddr("203.0.113.3")},
		},
		Ports: []model.ServicePort{
			{Name: "http", Protocol: model.TCP, Port: 80, NodePort: 30080, TargetPort: "web", AppProtocol: "h2c"},
			{Name: "dns", Protocol: model.UDP, Port: 53, TargetPort: "5353"},
		},
		AffinityTimeout: 3 * time.Hour, InternalLocal: true, ExternalLocal: true,
		SourceRanges: prefixes("192.0.2.0/24", "2001:db8::/32"), HealthCheckNodePort: 32000,
		PublishNotReady: true, TrafficDistribution: "PreferSameZone", ProxyName: "other",
	}, got)
}

// TestServiceProblems gives one bad field at a time: it must be named, and the rest of the Service kept.
func TestServiceProblems(t *testing.T) {
	for field, text := range map[string]string{
		"spec.type":                                          "spec: {type: Anycast}",
		"spec.clusterIPs[0]":                                 "spec: {clusterIPs: [10.0.0.300]}",
		"spec.clusterIPs":                                    "spec: {clusterIPs: [10.0.0.1, 10.0.0.2]}",
		"spec.externalIPs[1]":                                "spec: {externalIPs: [192.0.2.1, fe80::1%eth0]}",
		"spec.ports[0].port":                                 "spec: {ports: [{port: 70000}]}",
		"spec.ports[0].protocol":                             "spec: {ports: [{port: 7, protocol: QUIC}]}",
		"spec.ports[0].nodePort":                             "spec: {ports: [{port: 7, nodePort: -1}]}",
		"spec.healthCheckNodePort":                           "spec: {healthCheckNodePort: 65536}",
		"spec.sessionAffinity":                               "spec: {sessionAffinity: Cookie}",
		"spec.loadBalancerSourceRanges[0]":                   "spec: {loadBalancerSourceRanges: [10.0.0.0, 10.0.0.0/8]}",
		"status.loadBalancer.ingress[0].ip":                  "status: {loadBalancer: {ingress: [{ip: nowhere}]}}",
		"status.loadBalancer.ingress[0].ipMode":              "status: {loadBalancer: {ingress: [{ip: 192.0.2.1, ipMode: DSR}]}}",
		"spec.sessionAffinityConfig.clientIP.timeoutSeconds": "spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}}",
	} {
		got := Service(fromYAML[corev1.Service](t, text))
		if len(got.Problems) != 1 || got.Problems[0].Field != field {
			t.Errorf("%s: problems %+v, want one of %s", text, got.Problems, field)
		}
	}
}

func TestServiceEdges(t *testing.T) {
	service := func(text string) *model.Service { return Service(fromYAML[corev1.Service](t, text)) }
	if s := service("spec: {clusterIP: None}"); !s.Headless || s.ClusterIPs != nil {
		t.Errorf("headless: %+v", s)
	}
	if s := service("spec: {clusterIP: 10.0.0.1}"); len(s.ClusterIPs) != 1 {
		t.Errorf("from before dual stack: %+v", s)
	}
	s := service("spec: {type: ExternalName, externalName: example.org, clusterIP: 10.0.0.1}")
	if s.Type != model.ExternalName || s.ExternalName != "example.org" || s.ClusterIPs != nil || s.Headless {
		t.Errorf("ExternalName: %+v", s)
	}
	if s := service("metadata: {labels: {service.kubernetes.io/service-proxy-name: ''}}"); s.ProxyName == "" {
		t.Error("an empty label service-proxy-name is as good as any")
	}
	// A restriction of which nothing is valid must not open the door.
	s = service("spec: {loadBalancerSourceRanges: [10.0.0.0]}")
	equal(t, prefixes("0.0.0.0/32", "::/128"), s.SourceRanges)
	for seconds, want := range map[int]time.Duration{1: time.Second, 86400: 24 * time.Hour, 0: 3 * time.Hour, -5: 3 * time.Hour} {
		s := service(fmt.Sprintf("spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: %d}}}", seconds))
		if s.AffinityTimeout != want {
			t.Errorf("timeoutSeconds %d: %s, want %s", seconds, s.AffinityTimeout, want)
		}
	}
}

func TestEndpointSliceFacts(t *testing.T) {
	got := EndpointSlice(fromYAML[discoveryv1.EndpointSlice](t, `
metadata:
  namespace: shop
  name: web-1
  labels: {kubernetes.io/service-name: web, service.kubernetes.io/headless: ""}
  annotations: {endpoints.kubernetes.io/last-change-trigger-time: "2026-11-23T20:00:00.5Z"}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: any, protocol: SCTP}, {name: bad, port: 0}, {name: odd, protocol: QUIC}]
endpoints:
- {addresses: [10.1.0.1, 10.1.0.2]}
- addresses: ["::ffff:10.1.0.3"]
  conditions: {ready: false, serving: true, terminating: true}
  nodeName: node-1
  zone: zone-a
  hostname: web-0
  targetRef: {kind: Pod, name: web-0}
  hints: {forZones: [{name: zone-a}, {name: zone-b}], forNodes: [{name: node-1}]}
- {addresses: [10.1.0.4], conditions: {serving: false}, targetRef: {kind: Node, name: n}}
- {addresses: ["fd00::1"]}
- {addresses: []}
`))
	equal(t, &model.EndpointSlice{
		Ref: model.Ref{Namespace: "shop", Name: "web-1"}, Service: "web", Family: model.IPv4, Headless: true,
		TriggerTime: time.Date(2026, 11, 23, 20, 0, 0, 5e8, time.UTC),
		Ports:       []model.EndpointPort{{Name: "http", Protocol: model.TCP, Port: 8080}, {Name: "any", Protocol: model.SCTP}},
		Endpoints: []model.Endpoint{
			{Addr: netip.MustParseAddr("10.1.0.1"), Conditions: model.Ready | model.Serving, Placement: &model.Placement{}},
			{
				Addr: netip.MustParseAddr("10.1.0.3"), Conditions: model.Serving | model.Terminating, Pod: "web-0",
				Placement: &model.Placement{
					Node: "node-1", Zone: "zone-a", Hostname: "web-0", ZoneHints: []string{"zone-a", "zone-b"}, NodeHints: []string{"node-1"},
				},
			},
			{Addr: netip.MustParseAddr("10.1.0.4"), Conditions: model.Ready, Placement: &model.Placement{}},
		},
		Problems: []model.Problem{
			{Field: "ports[2].port"}, {Field: "ports[3].protocol"}, {Field: "endpoints[3].addresses[0]"}, {Field: "endpoints[4].addresses"},
		},
	}, got)
	for _, text := range []string{
		"{metadata: {labels: {kubernetes.io/service-name: web}}, addressType: FQDN, endpoints: [{addresses: [a.example]}]}",
		"{addressType: IPv4}",
	} {
		if s := EndpointSlice(fromYAML[discoveryv1.EndpointSlice](t, text)); s != nil {
			t.Errorf("%s is kept as %+v", text, s)
		}
	}
}

func TestNodeFacts(t *testing.T) {
	got := Node(fromYAML[corev1.Node](t, `
metadata:
  name: node-1
  uid: u1
  deletionTimestamp: "2026-11-23T20:00:00Z"
  labels: {topology.kubernetes.io/zone: a, topology.kubernetes.io/region: r, node.kubernetes.io/exclude-from-external-load-balancers: ""}
spec:
  podCIDRs: [10.244.1.0/24, "fd00:1::/64", bad]
  taints: [{key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}]
status:
  addresses:
  - {type: ExternalIP, address: 203.0.113.1}
  - {type: Hostname, address: node-1}
  - {type: InternalIP, address: 192.0.2.1}
  - {type: InternalIP, address: bad}
`))
	equal(t, &model.Node{
		Name: "node-1", UID: "u1", Addrs: addrs("192.0.2.1", "203.0.113.1"), PodCIDRs: prefixes("10.244.1.0/24", "fd00:1::/64"),
		Zone: "a", Region: "r", Deleting: true, DrainedByAutoscaler: true, ExcludedFromLB: true,
		Problems: []model.Problem{{Field: "status.addresses[3].address"}, {Field: "spec.podCIDRs[2]"}},
	}, got)
	if n := Node(fromYAML[corev1.Node](t, "spec: {podCIDR: 10.244.0.0/24}")); len(n.PodCIDRs) != 1 {
		t.Errorf("spec.podCIDR alone: %+v", n)
	}
	equal(t, &model.ServiceCIDR{Name: "c", Prefixes: prefixes("10.0.0.0/16"), Problems: []model.Problem{{Field: "spec.cidrs[1]"}}},
		ServiceCIDR(fromYAML[networkingv1.ServiceCIDR](t, "{metadata: {name: c}, spec: {cidrs: [010.0.0.0/16, x]}}")))
}

func TestNilObjects(t *testing.T) {
	if Service(nil) != nil || EndpointSlice(nil) != nil || Node(nil) != nil || ServiceCIDR(nil) != nil {
		t.Error("nil is not nil any more")
	}
}
