package model

import "net/netip"

// Pod is what Switchyard keeps of a Pod.
type Pod struct {
	Ref Ref
	// Addrs are those of status.podIPs; none for a pod in its node's network, or one that has ended: the address is not
	// its own, or may be another's by now.
	Addrs []netip.Addr
	// Labels are kept where a consumer asked for them.
	Labels Labels
}
