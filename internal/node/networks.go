package node

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/switchyard-net/switchyard/internal/kernel/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

// ErrNetworkOverlap is what Run fails with where the Service network collides with another one.
var ErrNetworkOverlap = errors.New("the Service network collides with another one: addresses that are in both lead " +
	"to Services only. Give the API server another --service-cluster-ip-range, or move the other network; " +
	"to start nevertheless, pass --allow-network-overlap")

// network is a network with a name for people.
type network struct {
	prefix netip.Prefix
	name   string
}

// checkNetworks returns ErrNetworkOverlap, with the networks and interfaces, if the Service network collides with one
// that the host or its pods are in.
func (n *Node) checkNetworks(host *route.Host, snap *model.Snapshot) error {
	hosts, err := host.Networks()
	if err != nil {
		return err
	}
	others := append(hostNetworks(hosts), n.podNetworks(snap)...)
	found := overlaps(serviceNetworks(snap), others)
	if found == nil {
		return nil
	}
	if n.config.AllowNetworkOverlap {
		n.deps.Log.Warn("starting although the Service network collides with another one", "error", found)
		return nil
	}
	return fmt.Errorf("%w:\n%w", ErrNetworkOverlap, found)
}

// overlaps returns an error for each pair of networks that have an address in common.
func overlaps(services, others []network) error {
	var errs []error
	for _, s := range services {
		for _, o := range others {
			if s.prefix.Overlaps(o.prefix) {
				errs = append(errs, fmt.Errorf("%s overlaps %s", s.name, o.name))
			}
		}
	}
	return errors.Join(errs...)
}

// serviceNetworks returns the ServiceCIDRs, or, on an API server that has none, the cluster IPs.
func serviceNetworks(snap *model.Snapshot) []network {
	var out []network
	for name, cidr := range snap.ServiceCIDRs.All() {
		for _, prefix := range cidr.Prefixes {
			out = append(out, network{prefix.Masked(), fmt.Sprintf("the Service network %s (ServiceCIDR %s)", prefix.Masked(), name)})
		}
	}
	if len(out) > 0 {
		return sortedNetworks(out)
	}
	for ref, service := range snap.Services.All() {
		for _, ip := range service.ClusterIPs {
			out = append(out, network{netip.PrefixFrom(ip, ip.BitLen()), fmt.Sprintf("the cluster IP %s (Service %s)", ip, ref)})
		}
	}
	return sortedNetworks(out)
}

// podNetworks returns the networks of pods, of the configuration and of this node.
func (n *Node) podNetworks(snap *model.Snapshot) []network {
	var out []network
	for _, prefix := range n.plan.LocalPods.ClusterCIDRs {
		out = append(out, network{prefix, fmt.Sprintf("%s, the pod network (clusterCIDR)", prefix)})
	}
	if node, ok := snap.Nodes.Get(n.config.Name); ok {
		for _, prefix := range node.PodCIDRs {
			out = append(out, network{prefix.Masked(), fmt.Sprintf("%s, the pod network of Node %s", prefix.Masked(), node.Name)})
		}
	}
	return sortedNetworks(out)
}

// hostNetworks returns those of the host's networks that a Service network must not collide with. That of an address
// and its route are one.
func hostNetworks(all []route.Network) []network {
	var out []network
	seen := map[string]bool{}
	for _, n := range all {
		key := n.Prefix.String() + "%" + n.Interface
		if seen[key] || harmless(n) {
			continue
		}
		seen[key] = true
		out = append(out, network{n.Prefix, describe(n)})
	}
	return sortedNetworks(out)
}

// harmless reports whether a network may contain addresses of Services.
func harmless(n route.Network) bool {
	switch {
	case n.Prefix.Bits() <= 1:
		return true // a default route, or the halves that VPNs make of it
	case n.Interface == "lo", n.Kind == "dummy":
		return true // kube-ipvs0, nodelocaldns and the like hold cluster IPs on purpose
	case n.Prefix.Addr().IsLinkLocalUnicast(), n.Prefix.Addr().IsMulticast():
		return true
	}
	return n.Protocol == route.ProtocolSwitchyard
}

func describe(n route.Network) string {
	what := "a route of interface " + n.Interface
	if n.Interface == "" {
		what = "a route without an interface"
	}
	if n.Address {
		what = "the network of interface " + n.Interface
	}
	switch {
	case n.Kind == "bridge" && (n.Interface == "docker0" || len(n.Interface) == len("br-0123456789ab") && n.Interface[:3] == "br-"):
		what += ", a Docker bridge"
	case n.Kind == "bridge":
		what += ", a bridge"
	}
	return n.Prefix.String() + ", " + what
}

func sortedNetworks(all []network) []network {
	slices.SortFunc(all, func(a, b network) int { return a.prefix.Compare(b.prefix) })
	return all
}
