package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Dump returns the plan as text for people and for golden files: the node first, then the Services by name.
func (p *Plan) Dump() string {
	var b strings.Builder
	b.WriteString(p.Node.dump())
	all := values(p.Services)
	slices.SortFunc(all, func(x, y *Service) int { return compareRefs(x.Ref, y.Ref) })
	for _, s := range all {
		b.WriteString(s.Dump())
	}
	return b.String()
}

func (n Node) dump() string {
	ports := join(n.NodePorts.Addrs)
	if n.NodePorts.AnyLocal {
		ports = "any local address but loopback"
		if len(n.NodePorts.Addrs) > 0 {
			ports += ", and " + join(n.NodePorts.Addrs)
		}
	}
	pods := "not recognised"
	switch l := n.LocalPods; {
	case len(l.Sources) > 0:
		pods = "from " + join(l.Sources)
	case l.Interface != "":
		pods = "by interface " + l.Interface
	case l.InterfacePrefix != "":
		pods = "by interface " + l.InterfacePrefix + "*"
	}
	return fmt.Sprintf("node\n  node ports on: %s\n  local pods: %s\n  service CIDRs: %s\n  masquerade bit: %d\n  drop invalid: %t\n",
		ports, pods, join(n.ServiceCIDRs), n.MasqueradeBit, n.DropInvalid)
}

// Dump returns the plan of a Service as text.
func (s *Service) Dump() string {
	var b strings.Builder
	fmt.Fprintf(&b, "service %s\n  cluster IPs: %s\n", s.Ref, join(s.ClusterIPs))
	for _, f := range s.Frontends {
		fmt.Fprintf(&b, "  %s %q: %s\n", f.Key, f.PortName, f.dump())
	}
	for id, pool := range s.Pools {
		fmt.Fprintf(&b, "  pool %d: %s\n", id, pool.dump())
	}
	if s.Health != nil {
		fmt.Fprintf(&b, "  health check port %d: %d ready here\n", s.Health.Port, s.Health.LocalReady)
	}
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "  problem: %s: %s\n", p.Field, p.Message)
	}
	return b.String()
}

func (f Frontend) dump() string {
	text := f.Verdict.String()
	if f.Pool != NoPool {
		text += fmt.Sprintf(" to pool %d", f.Pool)
	}
	if f.LocalClientPool != NoPool {
		text += fmt.Sprintf(", local clients to pool %d", f.LocalClientPool)
	}
	if f.Masquerade != MasqueradeNever {
		text += ", masquerade " + f.Masquerade.String()
	}
	if f.Sources != nil {
		text += ", only from " + join(f.Sources)
	}
	return text
}

func (p Pool) dump() string {
	scope := "cluster"
	if p.Local {
		scope = "local"
	}
	text := fmt.Sprintf("%q %s %s %s", p.PortName, p.Protocol, p.Family, scope)
	if p.Affinity > 0 {
		text += ", affinity " + p.Affinity.String()
	}
	for _, e := range p.Endpoints {
		text += "\n    " + e.Addr.String()
		if e.Local {
			text += " here"
		}
	}
	for _, e := range p.Quarantined {
		text += "\n    " + e.Addr.String() + " in quarantine"
	}
	return text
}

func join[T netip.Addr | netip.Prefix](list []T) string {
	if len(list) == 0 {
		return "none"
	}
	words := make([]string, len(list))
	for i, e := range list {
		words[i] = fmt.Sprint(e)
	}
	return strings.Join(words, ", ")
}
