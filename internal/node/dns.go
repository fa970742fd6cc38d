package node

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/internal/dns"
	"github.com/switchyard-net/switchyard/internal/dns/plugin"
	"github.com/switchyard-net/switchyard/internal/dns/server"
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

// sourceConfig returns what is to be read of the cluster, and what of it is for the name server.
func sourceConfig(node string, dns server.Config, enabled bool) (source.Config, server.Needs, error) {
	config := source.Config{NodeName: node, ServiceSelector: source.ProxyServiceSelector, SliceSelector: source.ProxySliceSelector, OmitPodNames: true}
	if !enabled {
		return config, server.Needs{}, nil
	}
	needs, err := dns.Needs()
	if err != nil {
		return config, needs, fmt.Errorf("switchyard.dns: %w", err)
	}
	config.Kinds = append(source.ProxyKinds(), source.Namespaces)
	if needs.Pods {
		config.Kinds = append(config.Kinds, source.Pods)
	}
	config.ServiceSelector, config.SliceSelector = "", "" // headless Services have names too
	config.OmitPodNames, config.Labels = !needs.PodNames, needs.Labels
	return config, needs, nil
}

// serveDNS serves the cluster DNS at the addresses of its Service, which it follows, until ctx is done. It never fails: the proxy
// goes on without.
func (n *Node) serveDNS(ctx context.Context) error {
	addresses := n.source.Subscribe()
	defer addresses.Close()
	var current []netip.Addr
	stop := func() {}
	defer func() { stop() }()
	for {
		snap, _, err := addresses.Next(ctx)
		if err != nil {
			return nil
		}
		now := n.dnsAddresses(snap)
		if slices.Equal(now, current) {
			continue
		}
		stop()
		stop, current = func() {}, now
		if len(now) > 0 {
			stop = n.startDNS(ctx, now)
		}
	}
}

// dnsAddresses returns where DNS is to be served: at the cluster IPs of its Service, and on this node's own addresses.
func (n *Node) dnsAddresses(snap *model.Snapshot) []netip.Addr {
	var addrs []netip.Addr
	namespace, name := n.config.DNS.ServiceName()
	if service, ok := snap.Services.Get(model.Ref{Namespace: namespace, Name: name}); ok {
		addrs = append(addrs, service.ClusterIPs...)
	}
	for _, text := range n.config.DNS.LocalAddresses {
		if addr, err := netip.ParseAddr(text); err == nil {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// startDNS serves on these addresses until the returned function is called, which waits for the end.
func (n *Node) startDNS(ctx context.Context, addrs []netip.Addr) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := n.runDNS(ctx, addrs); err != nil && ctx.Err() == nil {
				n.deps.Log.Error("the cluster DNS is not served on this node; the Service's other servers are asked", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(dnsRetry):
			}
		}
	}()
	return func() { cancel(); <-done }
}

// runDNS serves on these addresses until ctx is done.
func (n *Node) runDNS(ctx context.Context, addrs []netip.Addr) error {
	snapshots := n.source.Subscribe()
	defer snapshots.Close()
	config := n.dns
	for _, addr := range addrs {
		config.Bind = append(config.Bind, addr.String())
	}
	d, err := dns.New(config, dns.Deps{
		Snapshots: snapshots, Log: n.deps.Log, Selector: source.ParseSelector, Search: n.deps.Search,
		Keeps: plugin.Keeps{PodNames: n.dnsNeeds.PodNames, Labels: n.dnsNeeds.Labels}, PodAt: n.podAt(),
	})
	if err != nil {
		return err
	}
	if err := localdns.Hold(ctx, addrs, dnsPort); err != nil {
		return fmt.Errorf("make the cluster DNS's addresses this node's: %w", err)
	}
	defer n.releaseDNS(context.WithoutCancel(ctx))
	n.deps.Log.Info("serving the cluster DNS on this node", "addresses", addrs)
	return d.Run(ctx)
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
