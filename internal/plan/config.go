package plan

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Config is what an administrator decides about the Service proxy of a node. The zero value is a working configuration
// of a node without a name: node ports on every address, no detection of local pods.
type Config struct {
	// NodeName is the name of this node's Node object; endpoints that carry it are local.
	NodeName string
	// NodeIPs are the node's primary addresses, at most one of each family. Empty: those of the Node object.
	NodeIPs []netip.Addr
	// NodePorts selects the node's addresses that answer on node ports.
	NodePorts NodePortSelection
	// LocalPods says how traffic of this node's pods is recognised.
	LocalPods LocalPodDetection
	// MasqueradeAll asks for all traffic to cluster IPs to be masqueraded.
	MasqueradeAll bool
	// MasqueradeBit is the bit of the packet mark that asks for masquerading, 0..31.
	MasqueradeBit uint8
	// DropInvalid is Node.DropInvalid of the plans.
	DropInvalid bool
	// IgnoreExternalIPs takes spec.externalIPs out of service (feature gate AllowServiceExternalIPs off, KEP-5707).
	IgnoreExternalIPs bool
}

// NodePortSelection is nodePortAddresses of the configuration. A family that nothing here speaks of answers on all of
// its addresses but loopback, as in kube-proxy; so does the zero value for both.
type NodePortSelection struct {
	// Primary selects the node's primary addresses, and them alone of a family that Prefixes does not name.
	Primary bool
	// Localhost selects 127.0.0.1 and ::1.
	Localhost bool
	// All selects every address but loopback.
	All bool
	// Prefixes selects the node's addresses in these networks.
	Prefixes []netip.Prefix
}

// ParseNodePortAddresses reads nodePortAddresses as a KubeProxyConfiguration spells it: networks, and the keywords
// "primary", "localhost" and "all".
func ParseNodePortAddresses(words []string) (NodePortSelection, error) {
	var s NodePortSelection
	for i, word := range words {
		switch word = strings.TrimSpace(word); word {
		case "primary":
			s.Primary = true
		case "localhost":
			s.Localhost = true
		case "all":
			s.All = true
		default:
			prefix, err := netip.ParsePrefix(word)
			if err != nil {
				return s, fmt.Errorf(`nodePortAddresses[%d]: %q is neither a network like "192.0.2.0/24" nor one of "primary", "localhost", "all"`, i, word)
			}
			s.Prefixes = append(s.Prefixes, prefix.Masked())
		}
	}
	return s, nil
}

// LocalPodDetection is detectLocalMode with its parameters; at most one of the fields is set.
type LocalPodDetection struct {
	ClusterCIDRs    []netip.Prefix // mode ClusterCIDR
	NodeCIDR        bool           // mode NodeCIDR: the podCIDRs of the Node object
	Interface       string         // mode BridgeInterface
	InterfacePrefix string         // mode InterfaceNamePrefix
}

// NodeView is all that Build needs to know of the node it decides for.
type NodeView struct {
	Config *Config
	// Node is the Node object of this node; nil: not known (yet).
	Node *model.Node
	// Addrs are the node's own addresses on all interfaces, loopback included or not.
	Addrs []netip.Addr
	// Silent are the endpoints that do not answer this node.
	Silent Silence
}

// zone returns the node's zone; empty: unknown.
func (n NodeView) zone() string {
	if n.Node == nil {
		return ""
	}
	return n.Node.Zone
}

// primary returns the node's primary address of a family; the zero Addr if there is none.
func (n NodeView) primary(f model.Family) netip.Addr {
	candidates := n.Config.NodeIPs
	if len(candidates) == 0 && n.Node != nil {
		candidates = n.Node.Addrs
	}
	for _, a := range candidates {
		if model.FamilyOf(a) == f {
			return a.Unmap()
		}
	}
	return netip.Addr{}
}

// localPods returns how this node's pods are recognised.
func (n NodeView) localPods() LocalPods {
	d := n.Config.LocalPods
	if d.NodeCIDR {
		if n.Node == nil {
			return LocalPods{}
		}
		return LocalPods{Sources: n.Node.PodCIDRs}
	}
	return LocalPods{Sources: d.ClusterCIDRs, Interface: d.Interface, InterfacePrefix: d.InterfacePrefix}
}
