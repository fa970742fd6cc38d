package plan

import (
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/model"
)

// DirectEndpoint is an endpoint that requests can be sent to without the Service's own address.
type DirectEndpoint struct {
	Addr netip.AddrPort
	Pod  string // "": not a pod
}

// Direct returns the endpoints of a Service's port that a proxy on a node in a zone balances itself over, by the rules that hold
// for cluster IPs with traffic policy Cluster: the ready ones, of this node or zone where the hints ask for it, else those that
// serve while they terminate (KEP-1669, KEP-2433, KEP-3015). Headless Services have endpoints too. They are of one family, the
// Service's first that has any, in the order of their addresses.
func Direct(v model.ServiceView, port model.ServicePort, nodeName, zone string) []DirectEndpoint {
	all := v.Slices
	if v.Service.Headless {
		all = make([]*model.EndpointSlice, len(v.Slices))
		for i, s := range v.Slices {
			plain := *s
			plain.Headless = false
			all[i] = &plain
		}
	}
	for _, f := range familiesOf(v.Service) {
		set := clusterSet(candidates(all, f, port, nodeName), nodeName, zone)
		if len(set) == 0 {
			continue
		}
		out := make([]DirectEndpoint, len(set))
		for i, c := range set {
			out[i] = DirectEndpoint{c.addr, c.endpoint.Pod}
		}
		return out
	}
	return nil
}

// familiesOf returns the families of a Service, its first one first; both where it has no cluster IP to tell.
func familiesOf(s *model.Service) []model.Family {
	if len(s.ClusterIPs) > 0 && model.FamilyOf(s.ClusterIPs[0]) == model.IPv6 {
		return []model.Family{model.IPv6, model.IPv4}
	}
	return []model.Family{model.IPv4, model.IPv6}
}
