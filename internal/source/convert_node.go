package source

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/switchyard-net/switchyard/internal/model"
)

// drainTaint is set by the cluster autoscaler on a node that it is about to remove (KEP-3836).
const drainTaint = "ToBeDeletedByClusterAutoscaler"

// Node returns the facts of o, nil for nil. What cannot be honoured is left out and named in Problems.
func Node(o *corev1.Node) *model.Node { return converter{}.node(o) }

func (c converter) node(o *corev1.Node) *model.Node {
	if o == nil {
		return nil
	}
	var p problems
	n := &model.Node{
		Name:     o.Name,
		UID:      string(o.UID),
		Addrs:    nodeAddrs(o.Status.Addresses, &p),
		Zone:     c.strings.of(o.Labels[corev1.LabelTopologyZone]),
		Region:   c.strings.of(o.Labels[corev1.LabelTopologyRegion]),
		Deleting: o.DeletionTimestamp != nil,
	}
	_, n.ExcludedFromLB = o.Labels[corev1.LabelNodeExcludeBalancers]
	for i := range o.Spec.Taints {
		n.DrainedByAutoscaler = n.DrainedByAutoscaler || o.Spec.Taints[i].Key == drainTaint
	}
	if len(o.Spec.PodCIDRs) > 0 {
		n.PodCIDRs = p.prefixes("spec.podCIDRs", o.Spec.PodCIDRs)
	} else {
		n.PodCIDRs = p.prefixes("spec.podCIDR", []string{o.Spec.PodCIDR})
	}
	n.Problems = p
	return n
}

// nodeAddrs returns the internal addresses, then the external ones.
func nodeAddrs(in []corev1.NodeAddress, p *problems) []netip.Addr {
	var out []netip.Addr
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for i, e := range in {
			if e.Type != kind {
				continue
			}
			if a, ok := parseAddr(e.Address); ok {
				out = append(out, a)
			} else {
				p.add(fmt.Sprintf("status.addresses[%d].address", i), "%q is not an IP address and is ignored; the kubelet or the cloud provider must correct it", e.Address)
			}
		}
	}
	return out
}

// ServiceCIDR returns the facts of o, nil for nil. What cannot be honoured is left out and named in Problems.
func ServiceCIDR(o *networkingv1.ServiceCIDR) *model.ServiceCIDR {
	if o == nil {
		return nil
	}
	var p problems
	c := &model.ServiceCIDR{Name: o.Name, Prefixes: p.prefixes("spec.cidrs", o.Spec.CIDRs)}
	c.Problems = p
	return c
}
