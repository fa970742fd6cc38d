package model

import (
	"net/netip"
	"time"
)

// Ref names a namespaced object.
type Ref struct {
	Namespace, Name string
}

// String returns "namespace/name", as kubectl and events write it.
func (r Ref) String() string { return r.Namespace + "/" + r.Name }

// Protocol is an IP protocol number (RFC 5237 registry); only those that a Service port may have.
type Protocol uint8

// The protocols of a Service port.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns the protocol as the Kubernetes API spells it.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return "unknown protocol"
}

// Family is an IP address family.
type Family uint8

// The address families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf returns the family of a valid address. An IPv4-mapped IPv6 address counts as IPv4.
func FamilyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// String returns "IPv4" or "IPv6", as spec.ipFamilies spells it.
func (f Family) String() string {
	if f == IPv4 {
		return "IPv4"
	}
	return "IPv6"
}

// ServiceType is spec.type of a Service.
type ServiceType uint8

// The Service types.
const (
	ClusterIP ServiceType = iota
	NodePort
	LoadBalancer
	ExternalName
)

// Service is what Switchyard keeps of a Service.
type Service struct {
	Ref Ref
	UID string
	// Created is metadata.creationTimestamp: of two Services that claim one address, the older keeps it.
	Created time.Time
	Type    ServiceType
	// ClusterIPs has at most one address of each family; it is empty for headless and ExternalName Services.
	ClusterIPs []netip.Addr
	// Headless is true where spec.clusterIP is "None".
	Headless     bool
	ExternalName string
	ExternalIPs  []netip.Addr
	// IngressNames are the host names in status.loadBalancer.ingress; Ingress has the addresses.
	IngressNames []string
	Ingress      []BalancerAddress
	Ports        []ServicePort
	// AffinityTimeout is how long a client IP stays with its endpoint; 0 means no session affinity.
	AffinityTimeout time.Duration
	// InternalLocal and ExternalLocal are true where the traffic policy is Local.
	InternalLocal, ExternalLocal bool
	// SourceRanges restricts the clients of load-balancer addresses; empty means everybody.
	SourceRanges        []netip.Prefix
	HealthCheckNodePort uint16
	PublishNotReady     bool
	// TrafficDistribution is spec.trafficDistribution; routing itself follows the hints on the endpoints.
	TrafficDistribution string
	// ProxyName is the label service.kubernetes.io/service-proxy-name; where it is set, another proxy is responsible.
	ProxyName string
	// Labels are kept where a consumer asked for them.
	Labels Labels
	// Problems are parts of the object that the API server accepted and that cannot be honoured.
	Problems []Problem
}

// BalancerAddress is one entry of status.loadBalancer.ingress that has an IP address; host-name entries are left out.
type BalancerAddress struct {
	Addr netip.Addr
	// Proxy is true where ipMode is Proxy: the load balancer delivers to node ports itself,
	// and the address must not be answered on the node (KEP-1860).
	Proxy bool
}

// ServicePort is one entry of spec.ports.
type ServicePort struct {
	Name        string
	Protocol    Protocol
	Port        uint16
	NodePort    uint16 // 0: none
	TargetPort  string // as written: a number or a name
	AppProtocol string
}

// Problem says what part of an object cannot be honoured, and how to mend it.
type Problem struct {
	Field, Message string
}
