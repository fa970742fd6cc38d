package plugin

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	coredns "github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/upstream"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
	"github.com/switchyard-net/switchyard/internal/model"
)

// setup reads the directive of one server block and adds its handler to the chain.
func setup(c *caddy.Controller, name string, deps Deps) error {
	p, err := parse(c, deps)
	if err != nil {
		return err
	}
	config := dnsserver.GetConfig(c)
	p.options.Addrs = deps.Addrs
	if deps.Addrs == nil {
		p.options.Addrs = sync.OnceValue(func() []netip.Addr { return bound(config.ListenHosts) })
	}
	if p.options.Pods == zone.PodsVerified {
		p.options.PodAt = podAt(deps)
	}
	zones, err := zone.New(p.options, deps.Live)
	if err != nil {
		return c.Err(err.Error())
	}
	h := &Handler{name: name, deps: deps, zones: zones, options: p.options, upstream: upstream.New()}
	config.AddPlugin(func(next coredns.Handler) coredns.Handler {
		h.next = next
		return h
	})
	c.OnStartup(func() error {
		h.awaitSync(p.startupTimeout)
		return nil
	})
	return nil
}

// awaitSync waits for the first complete snapshot, but not for longer than the timeout: until then questions are
// answered with a server failure.
func (h *Handler) awaitSync(timeout time.Duration) {
	expired := time.NewTimer(timeout)
	defer expired.Stop()
	select {
	case <-h.zones.Live().Synced():
	case <-expired.C:
		h.deps.Log.Warn("the API server was not read completely yet; names of the cluster zone fail until it was",
			"zones", h.options.Zones, "startup_timeout", timeout)
	}
}

// podAt returns which pod has an address.
func podAt(deps Deps) func(netip.Addr) (model.Ref, bool) {
	if deps.PodAt == nil {
		deps.Log.Warn("pods verified: nothing is known of pods here, so that there are no pod records; use insecure or disabled")
		return func(netip.Addr) (model.Ref, bool) { return model.Ref{}, false }
	}
	return func(a netip.Addr) (model.Ref, bool) {
		pod, ok := deps.PodAt(a)
		return pod.Ref, ok
	}
}

// bound returns the addresses that a server block is bound to, else those of the machine; loopback ones only if they are
// all that it is bound to.
func bound(hosts []string) []netip.Addr {
	var out, loopback []netip.Addr
	add := func(s string) {
		s, _, _ = strings.Cut(s, "/")
		if a, err := netip.ParseAddr(s); err == nil && a.IsLoopback() {
			loopback = append(loopback, a.Unmap())
		} else if err == nil && !a.IsLinkLocalUnicast() {
			out = append(out, a.Unmap())
		}
	}
	if len(hosts) > 0 && hosts[0] != "" {
		for _, host := range hosts {
			add(host)
		}
		if len(out) == 0 {
			return loopback
		}
		return out
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		add(a.String())
	}
	return out
}
