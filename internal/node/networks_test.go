package node

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/kernel/route"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// snapshotOf returns a cluster with these ServiceCIDRs, a Service on 10.96.0.80, and this node with a pod network.
func snapshotOf(cidrs ...string) *model.Snapshot {
	var s model.Snapshot
	ref := model.Ref{Namespace: "default", Name: "web"}
	s.Services = s.Services.With(ref, &model.Service{Ref: ref, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.80")}})
	s.Nodes = s.Nodes.With("n1", &model.Node{Name: "n1", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")}})
	if len(cidrs) > 0 {
		cidr := &model.ServiceCIDR{Name: "kubernetes"}
		for _, c := range cidrs {
			cidr.Prefixes = append(cidr.Prefixes, netip.MustParsePrefix(c))
		}
		s.ServiceCIDRs = s.ServiceCIDRs.With(cidr.Name, cidr)
	}
	return &s
}

func TestServiceNetworkMustNotCollide(t *testing.T) {
	on := func(prefix, name, kind string, address bool, protocol int) route.Network {
		return route.Network{Prefix: netip.MustParsePrefix(prefix), Interface: name, Kind: kind, Address: address, Protocol: protocol}
	}
	for _, c := range []struct {
		name    string
		cidrs   []string
		host    []route.Network
		cluster string
		want    []string
	}{
		{
			name: "apart", cidrs: []string{"10.96.0.0/12", "fd00:10:96::/112"}, host: []route.Network{
				on("192.0.2.0/24", "eth0", "device", true, 0), on("fd00:1::/64", "eth0", "device", true, 0),
			},
		},
		{
			name: "a Docker bridge, named once for its address and its route", cidrs: []string{"172.16.0.0/12"},
			host: []route.Network{on("172.17.0.0/16", "docker0", "bridge", true, 0), on("172.17.0.0/16", "docker0", "bridge", false, 2)},
			want: []string{"the Service network 172.16.0.0/12 (ServiceCIDR kubernetes) overlaps 172.17.0.0/16, the network of interface docker0, a Docker bridge"},
		},
		{
			name: "a network of Docker's own", cidrs: []string{"172.16.0.0/12"},
			host: []route.Network{on("172.18.0.0/16", "br-0123456789ab", "bridge", true, 0)},
			want: []string{"the Service network 172.16.0.0/12 (ServiceCIDR kubernetes) overlaps 172.18.0.0/16, the network of interface br-0123456789ab, a Docker bridge"},
		},
		{
			name: "a route", cidrs: []string{"10.96.0.0/16"}, host: []route.Network{on("10.0.0.0/8", "tun0", "tuntap", false, 3)},
			want: []string{"the Service network 10.96.0.0/16 (ServiceCIDR kubernetes) overlaps 10.0.0.0/8, a route of interface tun0"},
		},
		{
			name: "the other family", cidrs: []string{"10.96.0.0/16", "fd00:10:96::/112"}, host: []route.Network{on("fd00:10::/32", "eth0", "device", true, 0)},
			want: []string{"the Service network fd00:10:96::/112 (ServiceCIDR kubernetes) overlaps fd00:10::/32, the network of interface eth0"},
		},
		{
			name: "no ServiceCIDRs: the cluster IPs", host: []route.Network{on("10.96.0.0/24", "eth0", "device", true, 0)},
			want: []string{"the cluster IP 10.96.0.80 (Service default/web) overlaps 10.96.0.0/24, the network of interface eth0"},
		},
		{
			name: "the pod networks", cidrs: []string{"10.240.0.0/12"}, cluster: "10.244.0.0/16",
			want: []string{
				"the Service network 10.240.0.0/12 (ServiceCIDR kubernetes) overlaps 10.244.0.0/16, the pod network (clusterCIDR)",
				"the Service network 10.240.0.0/12 (ServiceCIDR kubernetes) overlaps 10.244.1.0/24, the pod network of Node n1",
			},
		},
		{name: "routes that mean no harm", cidrs: []string{"10.96.0.0/12"}, host: []route.Network{
			on("0.0.0.0/0", "eth0", "device", false, 3), on("0.0.0.0/1", "tun0", "tuntap", false, 3),
			on("10.96.0.10/32", "kube-ipvs0", "dummy", true, 0), on("10.96.0.10/32", "nodelocaldns", "dummy", true, 0),
			on("10.96.0.7/32", "lo", "device", true, 0), on("10.96.0.0/12", "eth0", "veth", false, route.ProtocolSwitchyard),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &Node{config: config.Node{Name: "n1"}}
			if c.cluster != "" {
				n.plan = plan.Config{LocalPods: plan.LocalPodDetection{ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix(c.cluster)}}}
			}
			snap := snapshotOf(c.cidrs...)
			err := overlaps(serviceNetworks(snap), append(hostNetworks(c.host), n.podNetworks(snap)...))
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("collisions (-want +got):\n%s", diff)
			}
		})
	}
}
