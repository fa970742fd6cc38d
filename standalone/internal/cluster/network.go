package cluster

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// Names of the namespaces of a cluster, besides those of the nodes, which are called as their nodes are.
const (
	lanNamespace          = "lan"
	controlPlaneNamespace = "control-plane"
	clientNamespace       = "client"
)

// lanInterface is the interface on the LAN in every namespace.
const lanInterface = "eth0"

// network is the set of namespaces of a running cluster.
type network struct {
	lab          *lab.Lab
	lan          *lab.LAN
	controlPlane *lab.Namespace
	client       *lab.Namespace
	nodes        []*lab.Namespace // node i is at i-1
}

// newNetwork makes the namespaces, their addresses and the routes between them. The caller has cleared those of an
// earlier run.
func newNetwork(spec *Spec) (*network, error) {
	l, err := lab.Keep(ID(spec.DataDir))
	if err != nil {
		return nil, err
	}
	n := &network{lab: l}
	if err := n.build(spec); err != nil {
		return nil, errors.Join(fmt.Errorf("build the cluster's network: %w", err), l.Close())
	}
	return n, nil
}

// build makes everything in an empty lab.
func (n *network) build(spec *Spec) (err error) {
	if n.lan, err = n.lab.NewLAN(lanNamespace, 0); err != nil {
		return err
	}
	if err := n.lan.Route(RouterAddress().Prefixes()...); err != nil {
		return err
	}
	if n.controlPlane, err = n.join(controlPlaneNamespace, ControlPlaneAddress()); err != nil {
		return err
	}
	if n.client, err = n.join(clientNamespace, ClientAddress()); err != nil {
		return err
	}
	for _, outside := range []*lab.Namespace{n.lan.Namespace(), n.client} {
		if err := refusePromptly(outside); err != nil {
			return err
		}
	}
	for i := 1; i <= spec.Nodes; i++ {
		node, err := n.join(NodeName(i), NodeAddress(i))
		if err != nil {
			return err
		}
		n.nodes = append(n.nodes, node)
		if err := errors.Join(setNodeSysctls(node), addDefaultRoutes(node)); err != nil {
			return err
		}
	}
	if err := n.route(spec); err != nil {
		return err
	}
	if spec.Expose {
		return n.expose(spec)
	}
	return nil
}

// join makes a namespace on the LAN.
func (n *network) join(name string, address Dual) (*lab.Namespace, error) {
	ns, err := n.lab.NewNamespace(name)
	if err != nil {
		return nil, err
	}
	return ns, n.lan.Join(ns, lanInterface, address.Prefixes()...)
}

// refusePromptly makes a namespace answer each packet that it has no use for: with the kernel's limit of one such answer a second, a
// question to a name server that is not there would be refused at once or time out, as chance has it.
func refusePromptly(ns *lab.Namespace) error {
	return errors.Join(ns.SetSysctl("net.ipv4.icmp_ratelimit", "0"), ns.SetSysctl("net.ipv6.icmp.ratelimit", "0"))
}

// setNodeSysctls makes a namespace a router, as a node is one for its pods.
func setNodeSysctls(node *lab.Namespace) error {
	for _, setting := range []struct{ key, value string }{
		{"net.ipv4.ip_forward", "1"},
		{"net.ipv6.conf.all.forwarding", "1"},
		{"net.ipv6.conf.default.forwarding", "1"},
		// Replies of pods on other nodes may come by another way than the request went.
		{"net.ipv4.conf.all.rp_filter", "0"},
		{"net.ipv4.conf.default.rp_filter", "0"},
	} {
		if err := node.SetSysctl(setting.key, setting.value); err != nil {
			return err
		}
	}
	return nil
}

// addDefaultRoutes gives a node the default routes without which its own processes could not even try to reach the
// address of a Service: the kernel looks for a route before it translates.
func addDefaultRoutes(node *lab.Namespace) error {
	for _, via := range RouterAddress().All() {
		if err := node.AddDefaultRoute(via); err != nil {
			return err
		}
	}
	return nil
}

// route leads the pod prefixes of every node to that node, from the other nodes and from the control plane, whose API
// server dials pods for the proxy subresources. The client gets none: it is outside of the cluster.
func (n *network) route(spec *Spec) error {
	from := append([]*lab.Namespace{n.controlPlane}, n.nodes...)
	for i := 1; i <= spec.Nodes; i++ {
		via := NodeAddress(i).All()
		for _, ns := range from {
			if ns == n.nodes[i-1] {
				continue
			}
			for family, prefix := range PodCIDRsOf(i) {
				if err := ns.AddRoute(prefix, via[family]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// hostInterface is the host's end of the link that --expose makes.
func hostInterface(spec *Spec) string { return "swyd" + ID(spec.DataDir) }

// expose joins the host's own namespace to the LAN, unless the host has a route into it already.
func (n *network) expose(spec *Spec) error {
	host, err := lab.Host()
	if err != nil {
		return err
	}
	defer host.Close()
	routes, err := host.Netlink().RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list the host's routes: %w", err)
	}
	for _, route := range routes {
		if err := checkRoute(host, route); err != nil {
			return err
		}
	}
	return n.lan.Join(host, hostInterface(spec), HostAddress().Prefixes()...)
}

// checkRoute refuses a route of the host's that leads into the LAN.
func checkRoute(host *lab.Namespace, route netlink.Route) error {
	if route.Dst == nil {
		return nil
	}
	address, ok := netip.AddrFromSlice(route.Dst.IP)
	if !ok {
		return nil
	}
	bits, _ := route.Dst.Mask.Size()
	existing := netip.PrefixFrom(address.Unmap(), bits)
	for _, prefix := range HostAddress().Prefixes() {
		if bits == 0 || !prefix.Overlaps(existing) {
			continue
		}
		name := fmt.Sprintf("interface %d", route.LinkIndex)
		if link, err := host.Netlink().LinkByIndex(route.LinkIndex); err == nil {
			name = link.Attrs().Name
		}
		return fmt.Errorf("--expose: the cluster's network %s overlaps the host's route to %s on %s; take that interface down, or leave the flag out",
			prefix.Masked(), existing, name)
	}
	return nil
}

// unexpose takes the host's own namespace off the LAN. The link would go with the LAN's namespace, but only when the kernel
// gets to it.
func unexpose(spec *Spec) error {
	host, err := lab.Host()
	if err != nil {
		return err
	}
	defer host.Close()
	link, err := host.Netlink().LinkByName(hostInterface(spec))
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find interface %s: %w", hostInterface(spec), err)
	}
	if err := host.Netlink().LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove interface %s: %w", hostInterface(spec), err)
	}
	return nil
}
