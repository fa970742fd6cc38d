package source

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/switchyard-net/switchyard/internal/model"
)

// serviceProxyName is the label that hands a Service to another proxy (KEP-2447).
const serviceProxyName = "service.kubernetes.io/service-proxy-name"

// The bounds of spec.sessionAffinityConfig.clientIP.timeoutSeconds (k8s.io/kubernetes/pkg/apis/core/validation).
const (
	defaultAffinitySeconds = 10800
	maxAffinitySeconds     = 86400
)

// nobody is what an unusable restriction of clients becomes: nothing is ever sent from these addresses.
func nobody() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 32), netip.PrefixFrom(netip.IPv6Unspecified(), 128)}
}

// converter turns API objects into model values that share memory for equal strings.
type converter struct {
	strings      *interner
	omitPodNames bool
	keepLabels   bool
	// annotationPrefix is that of the annotations of Ingresses, without the slash.
	annotationPrefix string
}

// Service returns the facts of o, nil for nil. What cannot be honoured is left out and named in Problems.
func Service(o *corev1.Service) *model.Service { return converter{}.service(o) }

func (c converter) service(o *corev1.Service) *model.Service {
	if o == nil {
		return nil
	}
	var p problems
	s := &model.Service{
		Ref:             model.Ref{Namespace: c.strings.of(o.Namespace), Name: o.Name},
		UID:             string(o.UID),
		Created:         o.CreationTimestamp.UTC(),
		Type:            serviceType(o.Spec.Type, &p),
		ExternalIPs:     p.addrs("spec.externalIPs", o.Spec.ExternalIPs),
		Ingress:         ingress(o.Status.LoadBalancer.Ingress, &p),
		Ports:           c.servicePorts(o.Spec.Ports, &p),
		AffinityTimeout: affinityTimeout(&o.Spec, &p),
		InternalLocal: o.Spec.InternalTrafficPolicy != nil &&
			*o.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal,
		ExternalLocal:   o.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
		SourceRanges:    sourceRanges(o.Spec.LoadBalancerSourceRanges, &p),
		PublishNotReady: o.Spec.PublishNotReadyAddresses,
	}
	if name, ok := o.Labels[serviceProxyName]; ok {
		s.ProxyName = c.strings.of(cmp.Or(name, "(empty)")) // the label counts, whatever its value
	}
	s.Labels = c.labels(o.Labels)
	for _, e := range o.Status.LoadBalancer.Ingress {
		if e.Hostname != "" {
			s.IngressNames = append(s.IngressNames, e.Hostname)
		}
	}
	if s.Type == model.ExternalName {
		s.ExternalName = o.Spec.ExternalName
	} else {
		s.ClusterIPs, s.Headless = clusterIPs(&o.Spec, &p)
	}
	if o.Spec.TrafficDistribution != nil {
		s.TrafficDistribution = c.strings.of(*o.Spec.TrafficDistribution)
	}
	s.HealthCheckNodePort = optionalPort("spec.healthCheckNodePort", o.Spec.HealthCheckNodePort, &p)
	s.Problems = p
	return s
}

func serviceType(t corev1.ServiceType, p *problems) model.ServiceType {
	switch t {
	case corev1.ServiceTypeClusterIP, "":
		return model.ClusterIP
	case corev1.ServiceTypeNodePort:
		return model.NodePort
	case corev1.ServiceTypeLoadBalancer:
		return model.LoadBalancer
	case corev1.ServiceTypeExternalName:
		return model.ExternalName
	}
	p.add("spec.type", "%q is not known here and is treated as ClusterIP; use one of ClusterIP, NodePort, LoadBalancer, ExternalName", t)
	return model.ClusterIP
}

// clusterIPs returns the cluster IPs, at most one a family, and whether the Service is headless. Services older than
// dual stack have only spec.clusterIP.
func clusterIPs(spec *corev1.ServiceSpec, p *problems) (ips []netip.Addr, headless bool) {
	field, in := "spec.clusterIPs", spec.ClusterIPs
	if len(in) == 0 {
		field, in = "spec.clusterIP", []string{spec.ClusterIP}
	}
	if in[0] == corev1.ClusterIPNone || spec.ClusterIP == corev1.ClusterIPNone {
		return nil, true
	}
	seen := map[model.Family]bool{}
	for _, a := range p.addrs(field, in) {
		f := model.FamilyOf(a)
		if seen[f] {
			p.add(field, "%s is a second %s address and is ignored; a Service has one of each family", a, f)
			continue
		}
		seen[f] = true
		ips = append(ips, a)
	}
	return ips, false
}

// ingress returns the entries that have an address. An ipMode that is neither VIP nor unset means that the address is
// not to be answered on the node, as in kube-proxy.
func ingress(in []corev1.LoadBalancerIngress, p *problems) []model.BalancerAddress {
	var out []model.BalancerAddress
	for i, e := range in {
		if e.IP == "" {
			continue
		}
		a, ok := parseAddr(e.IP)
		if !ok {
			p.add(fmt.Sprintf("status.loadBalancer.ingress[%d].ip", i), "%q is not an IP address and is ignored; the load balancer's controller must correct it", e.IP)
			continue
		}
		proxy := e.IPMode != nil && *e.IPMode != corev1.LoadBalancerIPModeVIP
		if proxy && *e.IPMode != corev1.LoadBalancerIPModeProxy {
			p.add(fmt.Sprintf("status.loadBalancer.ingress[%d].ipMode", i), "%q is not known here and is treated as Proxy; use VIP or Proxy", *e.IPMode)
		}
		out = append(out, model.BalancerAddress{Addr: a, Proxy: proxy})
	}
	return out
}

func (c converter) servicePorts(in []corev1.ServicePort, p *problems) []model.ServicePort {
	if len(in) == 0 {
		return nil
	}
	out := make([]model.ServicePort, 0, len(in))
	for i := range in {
		e := &in[i]
		field := fmt.Sprintf("spec.ports[%d]", i)
		port, ok := parsePort(e.Port)
		if !ok {
			p.add(field+".port", "%d is not a port number, the port is ignored; use 1 to 65535", e.Port)
			continue
		}
		protocol, ok := parseProtocol(string(e.Protocol))
		if !ok {
			p.add(field+".protocol", "%q cannot be served, the port is ignored; use TCP, UDP or SCTP", e.Protocol)
			continue
		}
		q := model.ServicePort{
			Name: c.strings.of(e.Name), Protocol: protocol, Port: port,
			NodePort:   optionalPort(field+".nodePort", e.NodePort, p),
			TargetPort: c.strings.of(e.TargetPort.String()),
		}
		if e.AppProtocol != nil {
			q.AppProtocol = c.strings.of(*e.AppProtocol)
		}
		out = append(out, q)
	}
	return out
}

// optionalPort returns a port number that may be absent (0).
func optionalPort(field string, n int32, p *problems) uint16 {
	if n == 0 {
		return 0
	}
	port, ok := parsePort(n)
	if !ok {
		p.add(field, "%d is not a port number and is ignored; use 1 to 65535", n)
		return 0
	}
	return port
}

func affinityTimeout(spec *corev1.ServiceSpec, p *problems) time.Duration {
	switch spec.SessionAffinity {
	case corev1.ServiceAffinityNone, "":
		return 0
	case corev1.ServiceAffinityClientIP:
	default:
		p.add("spec.sessionAffinity", "%q is not known here, there is no affinity; use None or ClientIP", spec.SessionAffinity)
		return 0
	}
	seconds := int32(defaultAffinitySeconds)
	if c := spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		seconds = *c.ClientIP.TimeoutSeconds
	}
	if seconds < 1 || seconds > maxAffinitySeconds {
		p.add("spec.sessionAffinityConfig.clientIP.timeoutSeconds", "%d is out of range, %d is used; use 1 to %d",
			seconds, defaultAffinitySeconds, maxAffinitySeconds)
		seconds = defaultAffinitySeconds
	}
	return time.Duration(seconds) * time.Second
}

// sourceRanges returns the networks in the list. A list of which nothing is left would mean everybody, so a list with
// nothing but mistakes admits nobody.
func sourceRanges(in []string, p *problems) []netip.Prefix {
	const field = "spec.loadBalancerSourceRanges"
	before := len(*p)
	out := p.prefixes(field, in)
	if len(out) == 0 && len(*p) > before {
		p.add(field, "no range is valid, so that no client may use the load balancer addresses; correct the ranges or remove them all")
		return nobody()
	}
	return out
}
