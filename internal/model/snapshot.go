package model

// Snapshot is the state of the cluster at one moment. It is immutable, and cheap to derive from the one before.
type Snapshot struct {
	// Version grows by at least one with every snapshot of one source.
	Version  uint64
	Services Table[Ref, *Service]
	// Slices holds the slices of each Service, ordered by slice name; also of Services that do not exist (yet).
	Slices       Table[Ref, []*EndpointSlice]
	Nodes        Table[string, *Node]
	ServiceCIDRs Table[string, *ServiceCIDR]
	// Namespaces is empty where no consumer asked for them.
	Namespaces Table[string, *Namespace]
	// Ingresses and IngressClasses are empty where no consumer asked for them.
	Ingresses      Table[Ref, *Ingress]
	IngressClasses Table[string, *IngressClass]
	// Secrets and ConfigMaps hold those that a consumer asked for by name. One that was read has a value even if it does not exist
	// (its Problem says so); one that has none was not read yet.
	Secrets    Table[Ref, *Secret]
	ConfigMaps Table[Ref, *ConfigMap]
}

// View returns all that concerns one Service; Service is nil if there is none of that name.
func (s *Snapshot) View(r Ref) ServiceView {
	svc, _ := s.Services.Get(r)
	slices, _ := s.Slices.Get(r)
	return ServiceView{Service: svc, Slices: slices}
}

// ServiceView is a Service with its slices.
type ServiceView struct {
	Service *Service
	Slices  []*EndpointSlice
}

// Changes says in what a snapshot differs from an earlier one.
type Changes struct {
	// All is true where anything may differ: a consumer's first snapshot, or after a fresh list.
	All bool
	// Services names each Service that changed itself, or whose slices did.
	Services map[Ref]struct{}
	// Nodes names each changed Node.
	Nodes map[string]struct{}
	// ServiceCIDRs is true if any ServiceCIDR changed.
	ServiceCIDRs bool
	// Namespaces is true if any Namespace changed.
	Namespaces bool
	// Ingresses names each Ingress that changed in more than its status, IngressStatuses each whose status changed.
	Ingresses, IngressStatuses map[Ref]struct{}
	// IngressClasses is true if any IngressClass changed.
	IngressClasses bool
	// Secrets and ConfigMaps name those that changed, or were read for the first time.
	Secrets, ConfigMaps map[Ref]struct{}
}
