package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Build decides everything for one Service on one node, for both IP families. It is pure and deterministic.
// It returns nil for what a proxy does not serve: no Service, headless, ExternalName, or another proxy's
// (label service.kubernetes.io/service-proxy-name).
//
// Each key appears once among the frontends of the result. Whether another Service claims the same key is not known
// here: Planner settles that.
func Build(v model.ServiceView, n NodeView) *Service {
	s := v.Service
	if s == nil || s.Headless || s.Type == model.ExternalName || s.ProxyName != "" || len(s.ClusterIPs) == 0 {
		return nil
	}
	b := builder{view: v, node: n, out: &Service{Ref: s.Ref, Problems: slices.Clone(s.Problems)}}
	for _, ip := range s.ClusterIPs {
		b.out.ClusterIPs = append(b.out.ClusterIPs, ip.Unmap())
	}
	slices.SortFunc(b.out.ClusterIPs, netip.Addr.Compare)
	for _, ip := range b.out.ClusterIPs {
		b.family(ip)
	}
	b.externalFamilies()
	b.sliceProblems()
	b.health()
	b.out.Triggered = triggered(v.Slices)
	return b.out
}

// builder collects the plan of one Service.
type builder struct {
	view model.ServiceView
	node NodeView
	out  *Service
}

func (b *builder) problem(field, format string, args ...any) {
	p := model.Problem{Field: field, Message: fmt.Sprintf(format, args...)}
	if !slices.Contains(b.out.Problems, p) {
		b.out.Problems = append(b.out.Problems, p)
	}
}

// family adds the frontends and pools of the family of a cluster IP.
func (b *builder) family(clusterIP netip.Addr) {
	addrs := b.addresses(clusterIP)
	for i, port := range b.view.Service.Ports {
		if port.Port == 0 || !knownProtocol(port.Protocol) {
			b.problem(fmt.Sprintf("spec.ports[%d]", i),
				"port %d/%s cannot be served; use a port from 1 to 65535 and protocol TCP, UDP or SCTP", port.Port, port.Protocol)
			continue
		}
		b.port(i, port, addrs)
	}
}

func knownProtocol(p model.Protocol) bool {
	return p == model.TCP || p == model.UDP || p == model.SCTP
}

// addresses are those that a Service has in one family.
type addresses struct {
	family    model.Family
	clusterIP netip.Addr
	external  []netip.Addr // spec.externalIPs
	vips      []netip.Addr // status.loadBalancer.ingress of ipMode VIP
	sources   []netip.Prefix
}

func (b *builder) addresses(clusterIP netip.Addr) addresses {
	s, f := b.view.Service, model.FamilyOf(clusterIP)
	a := addresses{family: f, clusterIP: clusterIP}
	if !b.node.Config.IgnoreExternalIPs {
		for i, ip := range s.ExternalIPs {
			a.external = b.claim(a.external, f, ip, fmt.Sprintf("spec.externalIPs[%d]", i))
		}
	}
	for i, ingress := range s.Ingress {
		if !ingress.Proxy {
			a.vips = b.claim(a.vips, f, ingress.Addr, fmt.Sprintf("status.loadBalancer.ingress[%d].ip", i))
		}
	}
	a.sources = sourceRanges(s.SourceRanges, f, b.node.primary(f), a.vips)
	return a
}

// claim adds an address of family f to the list, unless it is there, or no Service may answer on it.
func (b *builder) claim(list []netip.Addr, f model.Family, ip netip.Addr, field string) []netip.Addr {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() || model.FamilyOf(ip) != f || slices.Contains(list, ip) {
		return list
	}
	if ip.IsUnspecified() || ip.IsLoopback() || ip.IsMulticast() {
		b.problem(field, "%s is an unspecified, loopback or multicast address, on which no Service can answer; use a unicast address", ip)
		return list
	}
	return append(list, ip)
}

// externalFamilies reports external IPs of a family that the Service does not have. Load-balancer addresses may have
// another family than the Service by right: then the load balancer translates.
func (b *builder) externalFamilies() {
	if b.node.Config.IgnoreExternalIPs {
		return
	}
	for i, ip := range b.view.Service.ExternalIPs {
		f := model.FamilyOf(ip)
		if !slices.ContainsFunc(b.out.ClusterIPs, func(c netip.Addr) bool { return model.FamilyOf(c) == f }) {
			b.problem(fmt.Sprintf("spec.externalIPs[%d]", i),
				"%s is not answered, as the Service has no %s cluster IP; add %s to spec.ipFamilies", ip, f, f)
		}
	}
}

// sliceProblems reports what of the Service's slices cannot be honoured.
func (b *builder) sliceProblems() {
	for _, slice := range b.view.Slices {
		for _, p := range slice.Problems {
			b.problem("EndpointSlice "+slice.Ref.Name+" "+p.Field, "%s", p.Message)
		}
	}
}

// sourceRanges returns who may use the load-balancer addresses in family f; nil: everybody. Ranges of the other family
// do not restrict this one, and any range of length zero opens it (pkg/proxy/serviceport.go).
//
// Where this node itself is allowed, the addresses themselves are allowed as sources: they may be local addresses of the
// node, which is then the source that the kernel chooses.
func sourceRanges(ranges []netip.Prefix, f model.Family, nodeIP netip.Addr, vips []netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	nodeAllowed := false
	for _, r := range ranges {
		if model.FamilyOf(r.Addr()) != f {
			continue
		}
		if r.Bits() == 0 {
			return nil
		}
		out = append(out, r.Masked())
		nodeAllowed = nodeAllowed || nodeIP.IsValid() && r.Contains(nodeIP)
	}
	if nodeAllowed {
		for _, vip := range vips {
			out = append(out, netip.PrefixFrom(vip, vip.BitLen()))
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// health adds the health check node port.
func (b *builder) health() {
	s := b.view.Service
	if s.Type != model.LoadBalancer || !s.ExternalLocal {
		return
	}
	if s.HealthCheckNodePort == 0 {
		b.problem("spec.healthCheckNodePort",
			"no health check node port is allocated, so load balancers cannot tell which nodes have endpoints; set one or recreate the Service")
		return
	}
	b.out.Health = &Health{Port: s.HealthCheckNodePort, LocalReady: localReady(b.view.Slices, b.node.Config.NodeName)}
}

// triggered returns the trigger times of the slices that have one.
func triggered(slicesOfService []*model.EndpointSlice) []time.Time {
	var out []time.Time
	for _, s := range slicesOfService {
		if !s.TriggerTime.IsZero() {
			out = append(out, s.TriggerTime)
		}
	}
	return out
}
