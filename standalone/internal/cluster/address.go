package cluster

import (
	"fmt"
	"net/netip"
)

// The networks of a cluster. They exist only in its namespaces, so that every cluster can use the same.
const (
	// ServiceCIDRs are the addresses of Services, of both families.
	ServiceCIDRs = "10.96.0.0/16,fd00:10:96::/112"
	// PodCIDRs hold the pods of all nodes.
	PodCIDRs = "10.244.0.0/16,fd00:10:244::/48"
	// APIPort is where the API server listens in the control plane's namespace.
	APIPort = 6443
	// KubeletPort is where a kubelet listens in its node's namespace.
	KubeletPort = 10250
	// ClusterDomain is the DNS domain of Services.
	ClusterDomain = "cluster.local"
)

// Dual is an address of each family.
type Dual struct {
	V4, V6 netip.Addr
}

// The LAN's fixed hosts.
const (
	hostHost         = 1
	controlPlaneHost = 2
	clientHost       = 3
	firstNodeHost    = 11
	routerHost       = 254
)

// LAN prefixes' lengths.
const (
	lanBits4 = 24
	lanBits6 = 64
)

// lan returns the addresses of a host on the LAN. The last part reads the same, in decimal, in both families.
func lan(host int) Dual {
	return Dual{
		V4: netip.AddrFrom4([4]byte{172, 30, 0, byte(host)}),
		V6: netip.MustParseAddr(fmt.Sprintf("fd00:172:30::%d", host)),
	}
}

// ControlPlaneAddress returns the API server's addresses on the LAN.
func ControlPlaneAddress() Dual { return lan(controlPlaneHost) }

// ClientAddress returns the outside client's addresses on the LAN.
func ClientAddress() Dual { return lan(clientHost) }

// RouterAddress returns the addresses of the LAN's router, which knows no way out of the LAN.
func RouterAddress() Dual { return lan(routerHost) }

// NodeAddress returns the addresses of node i, counted from 1, on the LAN.
func NodeAddress(i int) Dual { return lan(firstNodeHost + i - 1) }

// HostAddress returns the addresses that --expose gives the host on the LAN.
func HostAddress() Dual { return lan(hostHost) }

// Prefixes returns the addresses with the length of the LAN's prefixes.
func (d Dual) Prefixes() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(d.V4, lanBits4), netip.PrefixFrom(d.V6, lanBits6)}
}

// All returns both addresses.
func (d Dual) All() []netip.Addr { return []netip.Addr{d.V4, d.V6} }

// String lists both addresses as the kubelet's --node-ip wants them.
func (d Dual) String() string { return d.V4.String() + "," + d.V6.String() }

// PodCIDRsOf returns the prefixes of the pods of node i, counted from 1.
func PodCIDRsOf(i int) []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(i), 0}), 24),
		netip.MustParsePrefix(fmt.Sprintf("fd00:10:244:%d::/64", i)),
	}
}

// DNSAddresses are the cluster IPs of the Service of the cluster DNS. Pods are told the first.
func DNSAddresses() Dual {
	return Dual{V4: netip.AddrFrom4([4]byte{10, 96, 0, 10}), V6: netip.MustParseAddr("fd00:10:96::a")}
}

// The objects of the cluster DNS, in the namespace kube-system.
const (
	// DNSService is what its Service is called in every cluster, whatever serves it.
	DNSService = "kube-dns"
	// DNSLabel marks what the cluster made for its DNS; an operator's own Service of that name is left alone.
	DNSLabel = "standalone.switchyard.dev/dns"
	// DNSConfigMap has the name that kubeadm gives it.
	DNSConfigMap = "coredns"
	// CorefileKey is its key; others are files beside the Corefile.
	CorefileKey = "Corefile"
)
