package podnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/standalone/internal/runtime/nsthread"
)

// LinkPrefix begins the names of the node's ends.
const LinkPrefix = "swp"

// podLink is the name of the interface in the pod.
const podLink = "eth0"

// Link describes a pod's connection.
type Link struct {
	Name     string // of the node's end, at most 15 bytes
	MTU      int    // bytes; 0 is the kernel's default
	Addrs    []netip.Addr
	Gateways []netip.Addr // one for each of Addrs
}

// PrepareNode lets the calling thread's network namespace, which must be the node's, forward between pods and others,
// switches its loopback interface on, and removes the node's ends that a runtime before this one left.
func (p *Pool) PrepareNode() error {
	for _, prefix := range p.prefixes {
		forward := "ipv4/ip_forward"
		if prefix.Addr().Is6() {
			forward = "ipv6/conf/all/forwarding"
		}
		err := setSysctl(forward, "1")
		if errors.Is(err, os.ErrNotExist) && prefix.Addr().Is6() {
			return fmt.Errorf("pod network %s: this kernel has IPv6 switched off: leave the IPv6 pod network out, or start the machine without ipv6.disable=1", prefix)
		}
		if err != nil {
			return err
		}
	}
	if _, err := switchOn("lo", nil); err != nil {
		return err
	}
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, link := range links {
		if link.Type() != "veth" || !strings.HasPrefix(link.Attrs().Name, LinkPrefix) {
			continue
		}
		if err := deleteLink(link.Attrs().Name); err != nil {
			return err
		}
	}
	return nil
}

// Connect makes the pair of interfaces between the calling thread's namespace, which must be the node's, and the pod's.
// The first packet may flow when it returns.
func (l Link) Connect(pod nsthread.Namespaces) error {
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: l.Name, MTU: l.MTU},
		PeerName:      podLink,
		PeerNamespace: netlink.NsFd(int(pod.Net.Fd())),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make interface %s: %w", l.Name, err)
	}
	err := l.configureNode()
	if err == nil {
		err = pod.Do(l.configurePod)
	}
	if err != nil {
		return errors.Join(err, l.Disconnect())
	}
	return nil
}

// Disconnect removes both ends, if they are there.
func (l Link) Disconnect() error { return deleteLink(l.Name) }

func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find interface %s: %w", name, err)
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove interface %s: %w", name, err)
	}
	return nil
}

// configureNode gives the node's end the gateways' addresses and routes the pod's addresses there.
func (l Link) configureNode() error {
	// A pod that reaches itself through a Service is forwarded back to where it came from: no reason to redirect it.
	for _, name := range []string{"rp_filter", "send_redirects"} {
		if err := setSysctl("ipv4/conf/"+l.Name+"/"+name, "0"); err != nil {
			return err
		}
	}
	if err := l.plainIPv6(l.Name); err != nil {
		return err
	}
	link, err := switchOn(l.Name, l.Gateways)
	if err != nil {
		return err
	}
	for i, addr := range l.Addrs {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: host(addr), Src: l.Gateways[i].AsSlice(), Scope: netlink.SCOPE_LINK}
		if addr.Is6() {
			route.Scope = netlink.SCOPE_UNIVERSE
		}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route %s to interface %s: %w", addr, l.Name, err)
		}
	}
	return nil
}

// configurePod runs in the pod's network namespace.
func (l Link) configurePod() error {
	if _, err := switchOn("lo", nil); err != nil {
		return err
	}
	if err := l.plainIPv6(podLink); err != nil {
		return err
	}
	link, err := switchOn(podLink, l.Addrs)
	if err != nil {
		return err
	}
	for i, gateway := range l.Gateways {
		scope := netlink.SCOPE_LINK
		if gateway.Is6() {
			scope = netlink.SCOPE_UNIVERSE
		}
		onLink := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: host(gateway), Scope: scope}
		if err := netlink.RouteReplace(onLink); err != nil {
			return fmt.Errorf("route %s in the pod: %w", gateway, err)
		}
		everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if gateway.Is6() {
			everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		defaultRoute := &netlink.Route{
			LinkIndex: link.Attrs().Index, Dst: network(everything), Gw: gateway.AsSlice(), Src: l.Addrs[i].AsSlice(),
		}
		if err := netlink.RouteReplace(defaultRoute); err != nil {
			return fmt.Errorf("route everything in the pod to %s: %w", gateway, err)
		}
	}
	return nil
}

// plainIPv6 stops an end from waiting for other owners of its address (there is one neighbour) and from listening to routers.
func (l Link) plainIPv6(name string) error {
	if !slices.ContainsFunc(l.Addrs, netip.Addr.Is6) {
		return nil
	}
	for _, variable := range []string{"accept_dad", "accept_ra"} {
		if err := setSysctl("ipv6/conf/"+name+"/"+variable, "0"); err != nil {
			return err
		}
	}
	return nil
}

// switchOn assigns addresses to an interface of the calling thread's namespace and switches it on.
func switchOn(name string, addrs []netip.Addr) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find interface %s: %w", name, err)
	}
	for _, addr := range addrs {
		a := &netlink.Addr{IPNet: host(addr)}
		if addr.Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrReplace(link, a); err != nil {
			return nil, fmt.Errorf("assign %s to interface %s: %w", addr, name, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("switch interface %s on: %w", name, err)
	}
	return link, nil
}

func host(addr netip.Addr) *net.IPNet { return network(netip.PrefixFrom(addr, addr.BitLen())) }

func network(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// setSysctl sets a variable below net of the calling thread's network namespace.
func setSysctl(name, value string) error {
	if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
		return fmt.Errorf("set sysctl net/%s to %s: %w", name, value, err)
	}
	return nil
}
