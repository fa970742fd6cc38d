// Package node assembles the Service proxy of one node: what `switchyard node` and a node of the standalone mode run.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/dns/server"
	"github.com/switchyard-net/switchyard/internal/events"
	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/kernel/route"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/source"
)

// Deps are what a Node works with.
type Deps struct {
	// Client speaks to the API server; source.NewClient makes one that suits.
	Client kubernetes.Interface
	Log    *slog.Logger
	// Backend may be nil: the one of the configured mode is then used.
	Backend proxy.Backend
	// Settled, if set, is called once, when the rules are in the kernel for the first time.
	Settled func()
	// Search is the search list of the host, fully qualified, for the DNS.
	Search []string
	// Corefile is for a caller that puts the file of config.DNS.Corefile there and knows when it changes.
	Corefile CorefileDeps
	// About is what the metrics port shows of the process besides the proxy's own: Configuration, Flags and Version.
	About proxy.Status
}

// Node is the Service proxy of one node. Run and Ready may be called from different goroutines.
type Node struct {
	config   config.Node
	mode     choice
	plan     plan.Config
	deps     Deps
	registry *prometheus.Registry
	metrics  *proxy.Metrics
	health   *proxy.Health
	source   *source.Source
	// dns is the configuration of the name server but for its addresses, and dnsNeeds what its Corefile needs.
	dns      server.Config
	dnsNeeds server.Needs
	events   *events.Recorder
}

// New returns a node that has done nothing yet but to see whether the kernel, in the network namespace of the thread, can
// do the mode; its errors may be ErrModeUnsupported.
func New(ctx context.Context, cfg config.Node, deps Deps) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	planConfig, err := planConfig(cfg)
	if err != nil {
		return nil, err
	}
	mode := choice{kind: kind{mode: cfg.Mode}}
	if deps.Backend == nil {
		if mode, err = choose(ctx, cfg.Mode, deps.Log); err != nil {
			return nil, err
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := proxy.NewMetrics(registry, mode.kind.mode)
	dnsServer := server.Config{Corefile: cfg.DNS.Corefile, Zone: cfg.DNS.Zone, OnNode: true}
	dnsServer.Changed = deps.Corefile.Changed
	needs := dnsNeeds(cfg.DNS, dnsServer, deps)
	src, err := source.New(sourceConfig(cfg.Name, needs, cfg.DNS.Enabled), source.Deps{Client: deps.Client, Log: deps.Log, Metrics: registry})
	if err != nil {
		return nil, err
	}
	return &Node{
		config: cfg, dns: dnsServer, dnsNeeds: needs, mode: mode, plan: planConfig, deps: deps, registry: registry, metrics: metrics, source: src,
		events: events.New(events.Config{NodeName: cfg.Name}, events.Deps{Client: deps.Client, Log: deps.Log}),
		health: proxy.NewHealth(2*proxy.SyncPeriodOf(cfg.Sync.Period), metrics),
	}, nil
}

// planConfig returns the part of the configuration that decides what the rules are.
func planConfig(cfg config.Node) (plan.Config, error) {
	ports, err := plan.ParseNodePortAddresses(cfg.NodePortAddresses)
	if err != nil {
		return plan.Config{}, err
	}
	out := plan.Config{
		NodeName:          cfg.Name,
		NodePorts:         ports,
		MasqueradeAll:     cfg.Masquerade.All,
		MasqueradeBit:     uint8(cfg.Masquerade.Bit),
		DropInvalid:       !cfg.Conntrack.TCPBeLiberal,
		IgnoreExternalIPs: cfg.IgnoreExternalIPs,
	}
	if cfg.NodeIP.IsValid() {
		out.NodeIPs = []netip.Addr{cfg.NodeIP}
	}
	switch cfg.LocalPods.Mode {
	case config.LocalByNodeCIDR:
		out.LocalPods.NodeCIDR = true
	case config.LocalByBridge:
		out.LocalPods.Interface = cfg.LocalPods.BridgeInterface
	case config.LocalByInterfacePrefix:
		out.LocalPods.InterfacePrefix = cfg.LocalPods.InterfaceNamePrefix
	default:
		for _, cidr := range cfg.LocalPods.ClusterCIDRs {
			prefix, err := netip.ParsePrefix(cidr)
			if err != nil {
				return plan.Config{}, fmt.Errorf("clusterCIDR: %w", err)
			}
			out.LocalPods.ClusterCIDRs = append(out.LocalPods.ClusterCIDRs, prefix.Masked())
		}
	}
	return out, nil
}

// Ready returns nil while the kernel's rules follow the API server.
func (n *Node) Ready() error { return errors.Join(n.source.Ready(), n.health.Ready()) }

// Run serves until ctx is done, in the network namespace of the process, and leaves the rules in force. It fails where
// going on makes no sense: the Service network collides with another one, or a port is taken that must not be.
func (n *Node) Run(ctx context.Context) error {
	n.prepareHost()
	host, err := route.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	addrs, err := host.Addrs()
	if err != nil {
		return err
	}
	backend, release, err := n.backend(ctx)
	if err != nil {
		return err
	}
	defer release()
	table, err := conntrack.Open()
	if err != nil {
		return err
	}
	defer table.Close()
	watch, unwatch := n.watch()
	defer unwatch()

	group, ctx := errgroup.WithContext(ctx)
	changed := make(chan []netip.Addr, 1)
	deps := proxy.Deps{
		Subscription: n.source.Subscribe(),
		Planner:      plan.NewPlanner(n.plan, addrs),
		Backend:      backend,
		Conntrack:    table,
		Events:       n.events,
		Health:       n.health,
		Metrics:      n.metrics,
		Log:          n.deps.Log,
		Check:        func(snap *model.Snapshot) error { return n.check(ctx, host, snap) },
		Addrs:        changed,
		Settled:      n.settled,
	}
	if watch != nil {
		deps.Quarantine = watch
		group.Go(func() error { return watch.Run(ctx) })
	}
	syncer := proxy.NewSyncer(n.syncerConfig(), deps)
	group.Go(func() error { return n.events.Run(ctx) })
	group.Go(func() error { return n.source.Run(ctx) })
	group.Go(func() error { return followAddrs(ctx, host, addrs, changed) })
	group.Go(func() error { return n.healthServer().Run(ctx) })
	group.Go(func() error { return n.statusServer().Run(ctx) })
	group.Go(func() error { return syncer.Run(ctx) })
	if n.config.DNS.Enabled {
		group.Go(func() error { return n.serveDNS(ctx) })
	}
	return group.Wait()
}

// backend returns that of Deps, or opens the one of the mode; and what lets go of it.
func (n *Node) backend(ctx context.Context) (proxy.Backend, func(), error) {
	if n.deps.Backend != nil {
		return n.deps.Backend, func() {}, nil
	}
	n.deps.Log.Info("proxy mode", "mode", n.mode.kind, "why", n.mode.why)
	i, err := open(ctx, n.mode.kind, n.config.IPVS, n.deps.Log)
	if err != nil {
		return nil, nil, err
	}
	if err := i.answerOnLoopback(n.deps.Log); err != nil {
		return nil, nil, errors.Join(err, i.Close())
	}
	return i.backend, func() {
		if err := i.Close(); err != nil {
			n.deps.Log.Warn("the backend is not closed", "error", err)
		}
	}, nil
}

// check is the last word before the first Sync.
func (n *Node) check(ctx context.Context, host *route.Host, snap *model.Snapshot) error {
	if err := n.checkNetworks(host, snap); err != nil {
		return err
	}
	if n.mode.kind.mode != config.ModeIPVS {
		n.retireIPVS(ctx)
	}
	return nil
}

func (n *Node) syncerConfig() proxy.Config {
	return proxy.Config{
		NodeName:      n.config.Name,
		Families:      families(),
		MinSyncPeriod: n.config.Sync.MinPeriod,
		SyncPeriod:    n.config.Sync.Period,
	}
}

func (n *Node) healthServer() proxy.Server {
	return proxy.Server{
		Name: "/healthz and /livez", Address: n.config.Endpoints.Healthz, Handler: n.health.Handler(),
		FailOnBind: n.config.Endpoints.FailOnBind, Log: n.deps.Log,
	}
}

func (n *Node) statusServer() proxy.Server {
	status := n.deps.About
	status.Mode, status.Registry, status.Profiling = n.mode.page(), n.registry, n.config.Endpoints.Profiling
	if status.Started.IsZero() {
		status.Started = time.Now()
	}
	return proxy.Server{
		Name: "/metrics and /proxyMode", Address: n.config.Endpoints.Metrics, Handler: status.Handler(),
		FailOnBind: n.config.Endpoints.FailOnBind, Log: n.deps.Log,
	}
}
