package model

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Ingress is what Switchyard keeps of an Ingress (networking.k8s.io/v1).
type Ingress struct {
	Ref Ref
	UID string
	// Created is metadata.creationTimestamp: of two Ingresses that claim one path, the older keeps it.
	Created    time.Time
	Generation int64
	// Class is spec.ingressClassName, ClassAnnotation the annotation kubernetes.io/ingress.class; "": not set.
	Class, ClassAnnotation string
	Annotations            Annotations
	TLS                    []IngressTLS
	Rules                  []IngressRule
	// Default is spec.defaultBackend; nil: none.
	Default *IngressBackend
	// Status is what status.loadBalancer.ingress says now.
	Status []IngressAddress
}

// IngressTLS is one entry of spec.tls. Secret is in the namespace of the Ingress; "": none is named.
type IngressTLS struct {
	Hosts  []string
	Secret string
}

// IngressRule is one entry of spec.rules. Host is as written; "": all hosts.
type IngressRule struct {
	Host string
	// Paths are in order; none where the rule has no http section, which sends the host to the default backend.
	Paths []IngressPath
}

// IngressPath is a path of a rule and where it goes to.
type IngressPath struct {
	Path    string
	Type    PathType
	Backend IngressBackend
}

// PathType is how a path is matched.
type PathType uint8

// The path types of the API.
const (
	PathImplementationSpecific PathType = iota
	PathPrefix
	PathExact
)

// String returns the path type as the API spells it.
func (t PathType) String() string {
	switch t {
	case PathPrefix:
		return "Prefix"
	case PathExact:
		return "Exact"
	}
	return "ImplementationSpecific"
}

// IngressBackend is where an Ingress sends requests to: a port of a Service in its own namespace.
type IngressBackend struct {
	Service string // "": the backend is a Resource
	// PortName is the port's name; "": Port is its number.
	PortName string
	Port     uint16
	// Resource is "KIND.GROUP/NAME" of a backend that is no Service.
	Resource string
}

// IngressAddress is one entry of the status: either of the two is set. Addr may be the zero Addr.
type IngressAddress struct {
	Addr     netip.Addr
	Hostname string
}

// Annotations are those of an object that Switchyard reads, ordered by name. Names of ingress-nginx's are without prefix,
// such as "rewrite-target"; others are complete, such as "switchyard.net/engine".
type Annotations []Annotation

// Annotation is one of them.
type Annotation struct{ Name, Value string }

// Get returns the value of the annotation of that name, and whether there is one.
func (a Annotations) Get(name string) (string, bool) {
	i, found := slices.BinarySearchFunc(a, name, func(a Annotation, name string) int { return strings.Compare(a.Name, name) })
	if !found {
		return "", false
	}
	return a[i].Value, true
}

// IngressClass is what Switchyard keeps of an IngressClass.
type IngressClass struct {
	Name       string
	Created    time.Time
	Controller string
	// Default is true where it is for Ingresses that name no class.
	Default bool
	// Parameters is "KIND.GROUP/NAME" of spec.parameters; "": none.
	Parameters string
}

// Secret is one that something refers to. Problem is why it cannot be used, such as that it does not exist; it has no data then.
type Secret struct {
	Ref     Ref
	UID     string
	Data    map[string][]byte
	Problem string
}

// ConfigMap is one that the configuration names. Problem is as in Secret.
type ConfigMap struct {
	Ref     Ref
	UID     string
	Data    map[string]string
	Problem string
}
