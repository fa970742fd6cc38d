package model

import "net/netip"

// Node is what Switchyard keeps of a Node.
type Node struct {
	Name string
	UID  string
	// Addrs are the node's addresses of type InternalIP, then ExternalIP, in the order of status.addresses.
	Addrs    []netip.Addr
	PodCIDRs []netip.Prefix
	Zone     string // label topology.kubernetes.io/zone
	Region   string // label topology.kubernetes.io/region
	// Deleting is true once the Node has a deletionTimestamp.
	Deleting bool
	// DrainedByAutoscaler is true while the taint ToBeDeletedByClusterAutoscaler is present.
	DrainedByAutoscaler bool
	// ExcludedFromLB is the label node.kubernetes.io/exclude-from-external-load-balancers.
	ExcludedFromLB bool
	// Problems are parts of the object that the API server accepted and that cannot be honoured.
	Problems []Problem
}

// ServiceCIDR is a range from which cluster IPs are given out (KEP-1880).
type ServiceCIDR struct {
	Name     string
	Prefixes []netip.Prefix
	// Problems are parts of the object that the API server accepted and that cannot be honoured.
	Problems []Problem
}
