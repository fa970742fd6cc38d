package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/dns"
	"github.com/switchyard-net/switchyard/internal/dns/plugin"
	dnsserver "github.com/switchyard-net/switchyard/internal/dns/server"
	"github.com/switchyard-net/switchyard/internal/kernel/localdns"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/source"
)

const (
	// dnsPort is where pods ask (RFC 1035); it is the port of the Service too.
	dnsPort = 53
	// dnsRetry is the pause after DNS could not be served: the proxy goes on without.
	dnsRetry = 10 * time.Second
	// releaseTimeout bounds taking back what DNS has of the kernel, at the end.
	releaseTimeout = 5 * time.Second
)

// CorefileDeps connect the name server with whoever writes its Corefile.
type CorefileDeps struct {
	// Changed tells that the file may have changed, and first that it is there: nothing is served before. Nil: the file is there, and
	// looked at again as its own directive reload says.
	Changed <-chan struct{}
	// Tried, if set, is told of each Corefile that was tried: nil if it is being served, else what is wrong with it.
	Tried func(error)
	// KeepAll keeps all facts of the cluster that some Corefile may need, so that none is refused for want of them later.
	KeepAll bool
}

// dnsNeeds returns what the name server needs to know of the cluster. A Corefile with an error is no reason to have no proxy: it is
// reported once it is to be served.
func dnsNeeds(dns config.DNS, server dnsserver.Config, deps Deps) dnsserver.Needs {
	if !dns.Enabled {
		return dnsserver.Needs{}
	}
	if deps.Corefile.KeepAll {
		return dnsserver.Needs{PodNames: true, Labels: true, Pods: true}
	}
	needs, err := server.Needs()
	if err != nil {
		deps.Log.Error("the cluster DNS will not be served on this node until the Corefile is put right", "error", err)
		needs = dnsserver.Needs{Pods: true}
	}
	return needs
}

// sourceConfig returns what is to be read of the cluster.
func sourceConfig(node string, needs dnsserver.Needs, dns bool) source.Config {
	config := source.Config{NodeName: node, ServiceSelector: source.ProxyServiceSelector, SliceSelector: source.ProxySliceSelector, OmitPodNames: true}
	if !dns {
		return config
	}
	config.Kinds = append(source.ProxyKinds(), source.Namespaces)
	if needs.Pods {
		config.Kinds = append(config.Kinds, source.Pods)
	}
	config.ServiceSelector, config.SliceSelector = "", "" // headless Services have names too
	config.OmitPodNames, config.Labels = !needs.PodNames, needs.Labels
	return config
}

// dnsAddresses are where DNS is served on a node.
type dnsAddresses struct {
	// held are made addresses of this node: the cluster IPs of the Service, and link-local ones.
	held []netip.Addr
	// own are addresses of this node in any case.
	own []netip.Addr
}

func (a dnsAddresses) all() []netip.Addr { return slices.Concat(a.held, a.own) }

func (a dnsAddresses) equal(b dnsAddresses) bool {
	return slices.Equal(a.held, b.held) && slices.Equal(a.own, b.own)
}

// serveDNS serves the cluster DNS at the addresses of its Service, which it follows, until ctx is done. It never fails: the proxy
// goes on without.
func (n *Node) serveDNS(ctx context.Context) error {
	if changed := n.deps.Corefile.Changed; changed != nil {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
	addresses := n.source.Subscribe()
	defer addresses.Close()
	var current dnsAddresses
	stop := func() {}
	defer func() { stop() }()
	for {
		snap, _, err := addresses.Next(ctx)
		if err != nil {
			return nil
		}
		now := n.dnsAddresses(snap)
		if now.equal(current) {
			continue
		}
		stop()
		stop, current = func() {}, now
		if len(now.all()) > 0 {
			stop = n.startDNS(ctx, now)
		}
	}
}

// dnsAddresses returns where DNS is to be served: at the cluster IPs of its Service, and on this node's own addresses.
func (n *Node) dnsAddresses(snap *model.Snapshot) dnsAddresses {
	var addrs dnsAddresses
	namespace, name := n.config.DNS.ServiceName()
	if service, ok := snap.Services.Get(model.Ref{Namespace: namespace, Name: name}); ok {
		addrs.held = append(addrs.held, service.ClusterIPs...)
	}
	for _, text := range n.config.DNS.LocalAddresses {
		if addr, err := netip.ParseAddr(text); err == nil {
			addrs.held = append(addrs.held, addr)
		}
	}
	if node, ok := snap.Nodes.Get(n.config.Name); ok && n.config.DNS.NodeAddresses {
		addrs.own = assigned(node.Addrs)
	}
	return addrs
}

// assigned returns those of the addresses that an interface of this host has; those of type ExternalIP are often a router's.
func assigned(addrs []netip.Addr) []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, addr := range addrs {
		if slices.ContainsFunc(list, func(a net.Addr) bool {
			network, ok := a.(*net.IPNet)
			return ok && network.IP.Equal(addr.AsSlice())
		}) {
			out = append(out, addr)
		}
	}
	return out
}

// startDNS serves on these addresses until the returned function is called, which waits for the end.
func (n *Node) startDNS(ctx context.Context, addrs dnsAddresses) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := n.runDNS(ctx, addrs); err != nil && ctx.Err() == nil {
				n.deps.Log.Error("the cluster DNS is not served on this node; the Service's other servers are asked", "error", err)
				n.triedCorefile(err)
			}
			select {
			case <-ctx.Done():
			case <-n.deps.Corefile.Changed:
			case <-time.After(dnsRetry):
			}
		}
	}()
	return func() { cancel(); <-done }
}

// runDNS serves on these addresses until ctx is done.
func (n *Node) runDNS(ctx context.Context, addrs dnsAddresses) error {
	snapshots := n.source.Subscribe()
	defer snapshots.Close()
	config := n.dns
	for _, addr := range addrs.all() {
		config.Bind = append(config.Bind, addr.String())
	}
	d, err := dns.New(config, dns.Deps{
		Snapshots: snapshots, Log: n.deps.Log, Selector: source.ParseSelector, Search: n.deps.Search, Tried: n.deps.Corefile.Tried,
		Keeps: plugin.Keeps{PodNames: n.dnsNeeds.PodNames, Labels: n.dnsNeeds.Labels}, PodAt: n.podAt(),
	})
	if err != nil {
		return err
	}
	if err := localdns.Hold(ctx, addrs.held, dnsPort); err != nil {
		return fmt.Errorf("make the cluster DNS's addresses this node's: %w", err)
	}
	defer n.releaseDNS(context.WithoutCancel(ctx))
	n.deps.Log.Info("serving the cluster DNS on this node", "addresses", addrs.all())
	return d.Run(ctx)
}

func (n *Node) triedCorefile(err error) {
	if n.deps.Corefile.Tried != nil {
		n.deps.Corefile.Tried(err)
	}
}

// podAt returns what knows the pods of this node; nil: the Corefile does not need it.
func (n *Node) podAt() func(netip.Addr) (plugin.Pod, bool) {
	if !n.dnsNeeds.Pods {
		return nil
	}
	return func(addr netip.Addr) (plugin.Pod, bool) {
		pod, ok := n.source.PodAt(addr)
		if !ok {
			return plugin.Pod{}, false
		}
		return plugin.Pod{Ref: pod.Ref, Labels: pod.Labels}, true
	}
}

func (n *Node) releaseDNS(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	if _, err := localdns.Release(ctx); err != nil {
		n.deps.Log.Warn("what DNS had of the kernel is left; the next start or `switchyard cleanup` removes it", "error", err)
	}
}
