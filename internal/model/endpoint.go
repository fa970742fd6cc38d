package model

import (
	"net/netip"
	"time"
)

// EndpointSlice is what Switchyard keeps of an EndpointSlice. Slices of address type FQDN are not kept.
type EndpointSlice struct {
	Ref     Ref
	Service string // the Service's name (label kubernetes.io/service-name), in the slice's own namespace
	Family  Family
	// Headless is true where the label service.kubernetes.io/headless is present.
	Headless  bool
	Ports     []EndpointPort
	Endpoints []Endpoint
	// TriggerTime is the annotation endpoints.kubernetes.io/last-change-trigger-time; zero if absent.
	TriggerTime time.Time
	// Problems are parts of the object that the API server accepted and that cannot be honoured.
	Problems []Problem
}

// EndpointPort is one entry of a slice's ports. A slice port without a number, which means all ports, has Port 0.
type EndpointPort struct {
	Name     string
	Protocol Protocol
	Port     uint16
}

// Endpoint is one endpoint of a slice. Only addresses[0] counts, as in kube-proxy.
type Endpoint struct {
	Addr netip.Addr
	// Pod is targetRef.name where targetRef.kind is Pod.
	Pod string
	// Placement is never nil in a published value, and shared by endpoints that agree in it: of the 100,000 endpoints
	// of a large cluster it keeps all but 56 bytes each out of memory.
	*Placement
	Conditions Conditions
}

// Placement is what many endpoints have in common.
type Placement struct {
	Node, Zone, Hostname string
	// ZoneHints and NodeHints are hints.forZones and hints.forNodes.
	ZoneHints, NodeHints []string
}

// Conditions are an endpoint's conditions, with the API's defaults for unset ones applied: ready and serving
// default to true, terminating to false.
type Conditions uint8

// The endpoint conditions.
const (
	Ready Conditions = 1 << iota
	Serving
	Terminating
)

// Has reports whether all of the conditions in c2 hold.
func (c Conditions) Has(c2 Conditions) bool { return c&c2 == c2 }
