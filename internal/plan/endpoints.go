package plan

import (
	"net/netip"
	"slices"

	"github.com/switchyard-net/switchyard/internal/model"
)

// candidate is an endpoint of one Service port, before any policy.
type candidate struct {
	addr     netip.AddrPort
	local    bool
	endpoint *model.Endpoint
}

func (c candidate) has(conditions model.Conditions) bool {
	return c.endpoint.Conditions.Has(conditions)
}

// candidates returns the endpoints that the slices of one family list for a Service port, in the order of their
// addresses. Of two at the same address and port, which happens while an endpoint moves between slices and where a pod
// gets the address of one that is still terminating, the more usable one stays
// (pkg/proxy/endpointslicecache.go prefers the one that is not terminating).
func candidates(slicesOfService []*model.EndpointSlice, f model.Family, port model.ServicePort, nodeName string) []candidate {
	room := 0
	for _, slice := range slicesOfService {
		room += len(slice.Endpoints)
	}
	out := make([]candidate, 0, room)
	for _, slice := range slicesOfService {
		if slice.Headless || slice.Family != f {
			continue
		}
		for _, p := range slice.Ports {
			// A slice port without a number means all ports, which no proxy implements.
			if p.Name != port.Name || p.Protocol != port.Protocol || p.Port == 0 {
				continue
			}
			for i := range slice.Endpoints {
				e := &slice.Endpoints[i]
				if !e.Addr.IsValid() || model.FamilyOf(e.Addr) != f {
					continue
				}
				local := nodeName != "" && e.Node == nodeName
				out = append(out, candidate{netip.AddrPortFrom(e.Addr.Unmap(), p.Port), local, e})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b candidate) int {
		if c := a.addr.Compare(b.addr); c != 0 {
			return c
		}
		return usability(b.endpoint.Conditions) - usability(a.endpoint.Conditions)
	})
	return slices.CompactFunc(out, func(a, b candidate) bool { return a.addr == b.addr })
}

// usability orders the conditions of endpoints at the same address: higher is better.
func usability(c model.Conditions) int {
	rank := 0
	if !c.Has(model.Terminating) {
		rank += 4
	}
	if c.Has(model.Ready) {
		rank += 2
	}
	if c.Has(model.Serving) {
		rank++
	}
	return rank
}

// usable returns the candidates that may get traffic: the ready ones, or if there is none, those that still serve while
// they terminate (KEP-1669).
func usable(all []candidate) []candidate {
	ready := filter(all, func(c candidate) bool { return c.has(model.Ready) })
	if len(ready) > 0 {
		return ready
	}
	return filter(all, func(c candidate) bool { return c.has(model.Serving | model.Terminating) })
}

// clusterSet returns the candidates that the traffic policy Cluster uses on this node.
func clusterSet(all []candidate, nodeName, zone string) []candidate {
	near := topology(all, nodeName, zone)
	if near == nil {
		return usable(all)
	}
	return filter(all, func(c candidate) bool { return c.has(model.Ready) && near(c.endpoint) })
}

// localSet returns the candidates that the traffic policy Local uses on this node; the fallback to terminating ones is
// decided for it alone.
func localSet(all []candidate) []candidate {
	return usable(filter(all, func(c candidate) bool { return c.local }))
}

// topology returns what the hints ask for: endpoints hinted to this node, else endpoints hinted to this zone; nil for
// all endpoints. A hint counts only if every ready endpoint has one and one of them names this node or zone: there is no
// fallback per endpoint (KEP-2433, KEP-3015).
func topology(all []candidate, nodeName, zone string) func(*model.Endpoint) bool {
	forNode := func(e *model.Endpoint) bool { return slices.Contains(e.NodeHints, nodeName) }
	forZone := func(e *model.Endpoint) bool { return zone != "" && slices.Contains(e.ZoneHints, zone) }
	ready, nodeHints, zoneHints := 0, 0, 0
	anyForNode, anyForZone := false, false
	for _, c := range all {
		if !c.has(model.Ready) {
			continue
		}
		ready++
		if len(c.endpoint.NodeHints) > 0 {
			nodeHints++
			anyForNode = anyForNode || forNode(c.endpoint)
		}
		if len(c.endpoint.ZoneHints) > 0 {
			zoneHints++
			anyForZone = anyForZone || forZone(c.endpoint)
		}
	}
	switch {
	case anyForNode && nodeHints == ready:
		return forNode
	case anyForZone && zoneHints == ready:
		return forZone
	}
	return nil
}

// localReady counts the distinct addresses of ready, not terminating endpoints on this node, in the family that has more.
func localReady(slicesOfService []*model.EndpointSlice, nodeName string) int {
	seen := map[model.Family]map[netip.Addr]struct{}{model.IPv4: {}, model.IPv6: {}}
	for _, slice := range slicesOfService {
		if slice.Headless {
			continue
		}
		for _, e := range slice.Endpoints {
			c := e.Conditions
			if nodeName != "" && e.Node == nodeName && e.Addr.IsValid() && c.Has(model.Ready) && !c.Has(model.Terminating) {
				seen[model.FamilyOf(e.Addr)][e.Addr.Unmap()] = struct{}{}
			}
		}
	}
	return max(len(seen[model.IPv4]), len(seen[model.IPv6]))
}

// filter returns the candidates to keep: the list itself if that is all of them.
func filter(all []candidate, keep func(candidate) bool) []candidate {
	first := slices.IndexFunc(all, func(c candidate) bool { return !keep(c) })
	if first < 0 {
		return all
	}
	out := slices.Clone(all[:first])
	for _, c := range all[first+1:] {
		if keep(c) {
			out = append(out, c)
		}
	}
	return out
}
