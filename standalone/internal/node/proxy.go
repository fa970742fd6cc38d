package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/lab"
	switchyard "github.com/switchyard-net/switchyard/internal/node"
	"github.com/switchyard-net/switchyard/internal/source"
	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// Back-off between attempts to run the service proxy.
const (
	firstProxyBackoff = time.Second
	lastProxyBackoff  = 30 * time.Second
)

// CheckProxyMode returns an error that says which modes of the service proxy there are, if mode is none, or what this
// machine lacks for it. Empty is the default one. It tries that in a network namespace of its own.
func CheckProxyMode(ctx context.Context, mode string) (err error) {
	cfg, err := config.DefaultNodeIn(mode, cluster.NodeName(1))
	if err != nil {
		return err
	}
	l, err := lab.New("check-proxy-mode")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	ns, err := l.NewNamespace("node")
	if err != nil {
		return err
	}
	return ns.Do(func() error { return switchyard.CheckMode(ctx, cfg.Mode, slog.New(slog.DiscardHandler)) })
}

// proxyConfig returns the configuration of a node's service proxy: what `switchyard node` has without any flags but the
// mode, and but for what the cluster knows.
func proxyConfig(spec *cluster.Spec, name string) (config.Node, error) {
	c, err := config.DefaultNodeIn(spec.ProxyMode, name)
	if err != nil {
		return c, err
	}
	c.LocalPods = config.LocalPods{Mode: config.LocalByClusterCIDR, ClusterCIDRs: strings.Split(cluster.PodCIDRs, ",")}
	// The process is the node's other parts too.
	c.OOMScoreAdj = nil
	// In a namespace of the node's own nobody else can have its ports, and its users want to see them from outside.
	c.Endpoints.Healthz = netip.AddrPortFrom(netip.IPv6Unspecified(), 10256).String()
	c.Endpoints.Metrics = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 10249).String()
	c.DNS = config.DNS{Enabled: !spec.NoDNS, Corefile: corefilePath(spec, name), Zone: cluster.ClusterDomain, NodeAddresses: true}
	return c, nil
}

// runProxy runs the service proxy until the context ends. Its failure is not that of the node: the rules that are there
// stay in force while it is tried again.
func runProxy(ctx context.Context, spec *cluster.Spec, name string, log *slog.Logger) {
	corefile := newCorefile(spec, name, log)
	if !spec.NoDNS {
		corefile.await(ctx)
		var following sync.WaitGroup
		following.Go(func() { corefile.follow(ctx) })
		defer following.Wait()
	}
	for backoff := firstProxyBackoff; ; backoff = min(2*backoff, lastProxyBackoff) {
		err := runProxyOnce(ctx, spec, name, corefile, log)
		if ctx.Err() != nil {
			return
		}
		log.Error("the service proxy ended, starting it again", "error", err, "after", backoff)
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
	}
}

// runProxyOnce runs the service proxy until the context ends or it fails.
func runProxyOnce(ctx context.Context, spec *cluster.Spec, name string, corefile *corefile, log *slog.Logger) error {
	client, err := proxyClient(spec)
	if err != nil {
		return err
	}
	cfg, err := proxyConfig(spec, name)
	if err != nil {
		return err
	}
	proxy, err := switchyard.New(ctx, cfg, switchyard.Deps{Client: client, Log: log, Corefile: corefile.deps()})
	if err != nil {
		return err
	}
	return proxy.Run(ctx)
}

// proxyClient returns a client with the permissions of a service proxy.
func proxyClient(spec *cluster.Spec) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", spec.ComponentKubeconfig(cluster.ProxyUser))
	if err != nil {
		return nil, fmt.Errorf("load the service proxy's kubeconfig: %w", err)
	}
	return source.NewClient(config)
}
