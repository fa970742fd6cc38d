package source

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/switchyard-net/switchyard/internal/model"
)

// headlessLabel is what the endpoint slice controller puts on slices of headless Services.
const headlessLabel = corev1.IsHeadlessService

// EndpointSlice returns the facts of o. It is nil for nil, and for a slice that no Service can use: of another address
// type than IPv4 and IPv6 (FQDN is deprecated and ignored by kube-proxy), or without the label that names its Service.
// What cannot be honoured is left out and named in Problems.
func EndpointSlice(o *discoveryv1.EndpointSlice) *model.EndpointSlice {
	return converter{}.endpointSlice(o)
}

func (c converter) endpointSlice(o *discoveryv1.EndpointSlice) *model.EndpointSlice {
	if o == nil || o.Labels[discoveryv1.LabelServiceName] == "" {
		return nil
	}
	s := &model.EndpointSlice{
		Ref:     model.Ref{Namespace: c.strings.of(o.Namespace), Name: o.Name},
		Service: o.Labels[discoveryv1.LabelServiceName],
	}
	if strings.HasPrefix(o.Name, s.Service) {
		s.Service = o.Name[:len(s.Service)] // one memory: the controller makes the slice's name from the Service's
	}
	switch o.AddressType {
	case discoveryv1.AddressTypeIPv4:
		s.Family = model.IPv4
	case discoveryv1.AddressTypeIPv6:
		s.Family = model.IPv6
	default:
		return nil
	}
	var p problems
	_, s.Headless = o.Labels[headlessLabel]
	s.Ports = c.endpointPorts(o.Ports, &p)
	s.Endpoints = c.endpoints(o.Endpoints, s.Family, &p)
	if t, err := time.Parse(time.RFC3339Nano, o.Annotations[corev1.EndpointsLastChangeTriggerTime]); err == nil {
		s.TriggerTime = t.UTC()
	}
	s.Problems = p
	return s
}

func (c converter) endpointPorts(in []discoveryv1.EndpointPort, p *problems) []model.EndpointPort {
	if len(in) == 0 {
		return nil
	}
	out := make([]model.EndpointPort, 0, len(in))
	for i := range in {
		var q model.EndpointPort
		field := fmt.Sprintf("ports[%d]", i)
		if in[i].Name != nil {
			q.Name = c.strings.of(*in[i].Name)
		}
		protocol := ""
		if in[i].Protocol != nil {
			protocol = string(*in[i].Protocol)
		}
		var ok bool
		if q.Protocol, ok = parseProtocol(protocol); !ok {
			p.add(field+".protocol", "%q cannot be served, the port is ignored; use TCP, UDP or SCTP", protocol)
			continue
		}
		if in[i].Port != nil {
			if q.Port, ok = parsePort(*in[i].Port); !ok {
				p.add(field+".port", "%d is not a port number, the port is ignored; use 1 to 65535", *in[i].Port)
				continue
			}
		}
		out = append(out, q)
	}
	return out
}

func (c converter) endpoints(in []discoveryv1.Endpoint, family model.Family, p *problems) []model.Endpoint {
	if len(in) == 0 {
		return nil
	}
	out := make([]model.Endpoint, 0, len(in))
	for i := range in {
		e := &in[i]
		if len(e.Addresses) == 0 {
			p.add(fmt.Sprintf("endpoints[%d].addresses", i), "there is no address, the endpoint is ignored; add one")
			continue
		}
		addr, ok := parseAddr(e.Addresses[0])
		if !ok || model.FamilyOf(addr) != family {
			p.add(fmt.Sprintf("endpoints[%d].addresses[0]", i), "%q is not an %s address, the endpoint is ignored; correct or remove it", e.Addresses[0], family)
			continue
		}
		q := model.Endpoint{Addr: addr, Conditions: conditions(e.Conditions)}
		if t := e.TargetRef; t != nil && t.Kind == "Pod" && !c.omitPodNames {
			q.Pod = t.Name
		}
		q.Placement = c.placement(e)
		out = append(out, q)
	}
	return out
}

// placement returns what e may share with others. It is looked up where it has at most one hint of each kind, which is
// nearly always so.
func (c converter) placement(e *discoveryv1.Endpoint) *model.Placement {
	var zones []discoveryv1.ForZone
	var nodes []discoveryv1.ForNode
	if e.Hints != nil {
		zones, nodes = e.Hints.ForZones, e.Hints.ForNodes
	}
	key := placementKey{node: deref(e.NodeName), zone: deref(e.Zone), hostname: deref(e.Hostname)}
	simple := len(zones) <= 1 && len(nodes) <= 1
	if simple {
		if len(zones) == 1 {
			key.zoneHint, key.zoneHinted = zones[0].Name, true
		}
		if len(nodes) == 1 {
			key.nodeHint, key.nodeHinted = nodes[0].Name, true
		}
		if p := c.strings.placement(key); p != nil {
			return p
		}
	}
	p := &model.Placement{
		Node: c.strings.of(key.node), Zone: c.strings.of(key.zone), Hostname: key.hostname,
		ZoneHints: hintNames(c.strings, zones, func(z *discoveryv1.ForZone) string { return z.Name }),
		NodeHints: hintNames(c.strings, nodes, func(n *discoveryv1.ForNode) string { return n.Name }),
	}
	if simple && key.hostname == "" {
		c.strings.keep(key, p)
	}
	return p
}

// deref returns what s points to, "" for nil.
func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// conditions applies the defaults of the API: unset means ready, serving and not terminating.
func conditions(in discoveryv1.EndpointConditions) model.Conditions {
	var out model.Conditions
	if in.Ready == nil || *in.Ready {
		out |= model.Ready
	}
	if in.Serving == nil || *in.Serving {
		out |= model.Serving
	}
	if in.Terminating != nil && *in.Terminating {
		out |= model.Terminating
	}
	return out
}

// hintNames returns the names of an endpoint's hints, nil for none.
func hintNames[T any](n *interner, in []T, name func(*T) string) []string {
	if len(in) == 0 {
		return nil
	}
	out := make([]string, len(in))
	for i := range in {
		out[i] = n.of(name(&in[i]))
	}
	return out
}
