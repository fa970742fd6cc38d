package serviceenv

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

func snapshotOf(services ...*model.Service) *model.Snapshot {
	var snap model.Snapshot
	for _, s := range services {
		snap.Services = snap.Services.With(s.Ref, s)
	}
	return &snap
}

func service(namespace, name, ip string, ports ...model.ServicePort) *model.Service {
	s := &model.Service{Ref: model.Ref{Namespace: namespace, Name: name}, Ports: ports}
	if ip != "" {
		s.ClusterIPs = []netip.Addr{netip.MustParseAddr(ip)}
	}
	return s
}

var (
	https = model.ServicePort{Name: "https", Protocol: model.TCP, Port: 443}
	dns   = model.ServicePort{Name: "dns", Protocol: model.UDP, Port: 53}
	plain = model.ServicePort{Protocol: model.TCP, Port: 80}
)

func kubernetes() []string {
	return []string{
		"KUBERNETES_PORT=tcp://10.96.0.1:443", "KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443", "KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1",
		"KUBERNETES_PORT_443_TCP_PORT=443", "KUBERNETES_PORT_443_TCP_PROTO=tcp", "KUBERNETES_SERVICE_HOST=10.96.0.1",
		"KUBERNETES_SERVICE_PORT=443", "KUBERNETES_SERVICE_PORT_HTTPS=443",
	}
}

func TestVariables(t *testing.T) {
	snap := snapshotOf(
		service("default", "kubernetes", "10.96.0.1", https),
		service("default", "other", "10.96.0.2", plain),
		service("shop", "web-6", "fd00::6", plain, dns),
		service("shop", "headless", "", plain),
		service("shop", "kubernetes", "10.96.0.9", plain),
	)
	web := []string{
		"WEB_6_PORT=tcp://[fd00::6]:80", "WEB_6_PORT_53_UDP=udp://[fd00::6]:53", "WEB_6_PORT_53_UDP_ADDR=fd00::6", "WEB_6_PORT_53_UDP_PORT=53",
		"WEB_6_PORT_53_UDP_PROTO=udp", "WEB_6_PORT_80_TCP=tcp://[fd00::6]:80", "WEB_6_PORT_80_TCP_ADDR=fd00::6", "WEB_6_PORT_80_TCP_PORT=80",
		"WEB_6_PORT_80_TCP_PROTO=tcp", "WEB_6_SERVICE_HOST=fd00::6", "WEB_6_SERVICE_PORT=80", "WEB_6_SERVICE_PORT_DNS=53",
	}
	for _, c := range []struct {
		name, namespace string
		links           bool
		want            []string
	}{
		{"of the namespace, and the API server's", "shop", true, append(kubernetes(), web...)},
		{"without links", "shop", false, kubernetes()},
		{"an empty namespace", "nothing", true, kubernetes()},
	} {
		if diff := cmp.Diff(c.want, Variables(snap, c.namespace, c.links)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
