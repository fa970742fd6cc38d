package source

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/randfill"

	"github.com/switchyard-net/switchyard/internal/model"
)

// FuzzConvert feeds whatever JSON the API could hold to all conversions, and checks what the model promises of its values.
func FuzzConvert(f *testing.F) {
	for _, o := range []any{
		testService("a", "10.0.0.1"), testSlice("a-1", "a", "10.0.0.2", "::ffff:1.2.3.4"), testNode("n", "192.0.2.1"), testCIDR("c", "10.0.0.0/8"),
	} {
		data, err := json.Marshal(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"spec":{"sessionAffinity":"ClientIP","sessionAffinityConfig":{},"loadBalancerSourceRanges":["::ffff:1.2.3.4/90"],"ports":[{}]},"status":{"loadBalancer":{"ingress":[{}]}}}`))
	f.Add([]byte(`{"metadata":{"annotations":{"nginx.ingress.kubernetes.io/b":"","nginx.ingress.kubernetes.io/a":"1"}},"spec":{"defaultBackend":{},"rules":[{"http":{"paths":[{}]}}]}}`))
	f.Add([]byte(`{"metadata":{"labels":{"kubernetes.io/service-name":"x"}},"addressType":"IPv6","ports":[{}],"endpoints":[{},{"hints":{}},{"addresses":["fe80::1%1"]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o := new(corev1.Service); json.Unmarshal(data, o) == nil {
			checkService(t, Service(o))
		}
		if o := new(discoveryv1.EndpointSlice); json.Unmarshal(data, o) == nil {
			if s := EndpointSlice(o); s != nil {
				checkSlice(t, s)
			}
		}
		if o := new(corev1.Node); json.Unmarshal(data, o) == nil {
			n := Node(o)
			checkAddrs(t, n.Addrs...)
			checkPrefixes(t, n.PodCIDRs)
		}
		if o := new(networkingv1.ServiceCIDR); json.Unmarshal(data, o) == nil {
			checkPrefixes(t, ServiceCIDR(o).Prefixes)
		}
		if o := new(networkingv1.Ingress); json.Unmarshal(data, o) == nil {
			checkIngress(t, Ingress(o))
		}
	})
}

// TestConvertRandomObjects fills whole objects at random, with fields that are nil as often as not.
func TestConvertRandomObjects(t *testing.T) {
	fill := randfill.NewWithSeed(1).NilChance(0.5).NumElements(0, 4)
	for range 2000 {
		svc, slice, node, cidr := corev1.Service{}, discoveryv1.EndpointSlice{}, corev1.Node{}, networkingv1.ServiceCIDR{}
		fill.Fill(&svc.Spec)
		fill.Fill(&svc.Status)
		fill.Fill(&slice.Ports)
		fill.Fill(&slice.Endpoints)
		fill.Fill(&node.Spec)
		fill.Fill(&node.Status.Addresses)
		fill.Fill(&cidr.Spec)
		slice.AddressType = discoveryv1.AddressTypeIPv6
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: "a"}
		checkService(t, Service(&svc))
		checkSlice(t, EndpointSlice(&slice))
		checkAddrs(t, Node(&node).Addrs...)
		checkPrefixes(t, ServiceCIDR(&cidr).Prefixes)
	}
}

func checkService(t *testing.T, s *model.Service) {
	t.Helper()
	checkAddrs(t, s.ClusterIPs...)
	checkAddrs(t, s.ExternalIPs...)
	for _, i := range s.Ingress {
		checkAddrs(t, i.Addr)
	}
	checkPrefixes(t, s.SourceRanges)
	if len(s.ClusterIPs) > 2 || len(s.ClusterIPs) == 2 && model.FamilyOf(s.ClusterIPs[0]) == model.FamilyOf(s.ClusterIPs[1]) {
		t.Errorf("cluster IPs: %v", s.ClusterIPs)
	}
	if s.AffinityTimeout < 0 || s.AffinityTimeout > 24*time.Hour {
		t.Errorf("affinity timeout: %s", s.AffinityTimeout)
	}
	for _, p := range s.Ports {
		checkProtocol(t, p.Protocol)
		if p.Port == 0 {
			t.Errorf("port without a number: %+v", p)
		}
	}
}

func checkSlice(t *testing.T, s *model.EndpointSlice) {
	t.Helper()
	for _, e := range s.Endpoints {
		checkAddrs(t, e.Addr)
		if model.FamilyOf(e.Addr) != s.Family {
			t.Errorf("%s in a slice of %s", e.Addr, s.Family)
		}
	}
	for _, p := range s.Ports {
		checkProtocol(t, p.Protocol)
	}
	if s.Service == "" {
		t.Error("a slice of no Service")
	}
}

func checkAddrs(t *testing.T, in ...netip.Addr) {
	t.Helper()
	for _, a := range in {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
			t.Errorf("address %v", a)
		}
	}
}

func checkPrefixes(t *testing.T, in []netip.Prefix) {
	t.Helper()
	for _, p := range in {
		if !p.IsValid() || p.Masked() != p || p.Addr().Is4In6() && p.Bits() >= 96 {
			t.Errorf("network %v", p)
		}
	}
}

func checkProtocol(t *testing.T, p model.Protocol) {
	t.Helper()
	if p != model.TCP && p != model.UDP && p != model.SCTP {
		t.Errorf("protocol %d", p)
	}
}

// checkIngress looks up each annotation: they have to be in order for that.
func checkIngress(t *testing.T, i *model.Ingress) {
	t.Helper()
	for _, a := range i.Annotations {
		if value, ok := i.Annotations.Get(a.Name); !ok || value != a.Value {
			t.Errorf("annotation %q is %q, want %q", a.Name, value, a.Value)
		}
	}
	for _, a := range i.Status {
		if a.Addr.IsValid() {
			checkAddrs(t, a.Addr)
		}
	}
}
