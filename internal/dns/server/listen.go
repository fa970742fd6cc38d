package server

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin/pkg/transport"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/fastpath"
	"github.com/switchyard-net/switchyard/internal/dns/plugin"
)

// claim takes note of the configurations of all server blocks, of which c sets up one, binds those that do not say where
// they listen, and asks CoreDNS to be told of the servers that they end up in.
func (in *input) claim(c *caddy.Controller) {
	if in.configs != nil {
		return
	}
	in.configs = make([][]*dnsserver.Config, len(in.blocks))
	for i, b := range in.blocks {
		for k := range b.keys {
			// GetConfig tells blocks apart by these two fields alone.
			other := *c
			other.ServerBlockIndex, other.ServerBlockKeyIndex = i, k
			in.configs[i] = append(in.configs[i], dnsserver.GetConfig(&other))
		}
		first := in.configs[i][0] // CoreDNS copies what it says to the block's others
		if !b.bound && len(in.bind) > 0 {
			first.ListenHosts = in.bind
		}
		first.UDPDecorateWriterFunc = in.tell
	}
}

// tell is called by CoreDNS when a server begins to serve. What it offers, to decorate the server's writers, is declined.
func (in *input) tell(s *dnsserver.Server) dns.DecorateWriter {
	in.serving(s)
	return nil
}

// group returns the configurations that a server serves, with the number of their block, as CoreDNS groups them by the
// address that they listen on.
func (in *input) group(server *dnsserver.Server) (configs []*dnsserver.Config, blocks []int) {
	for i, all := range in.configs {
		for _, config := range all {
			for _, host := range config.ListenHosts {
				addr, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(host, config.Port))
				if err == nil && config.Transport+"://"+addr.String() == server.Addr {
					configs, blocks = append(configs, config), append(blocks, i)
				}
			}
		}
	}
	return configs, blocks
}

// routes returns the routes of a server's listener, and a status for each; nil routes: it has no use for a fast path.
func (in *input) routes(server *dnsserver.Server, counts func(server, zone string) *fastpath.Counts) ([]fastpath.Route, []Status, error) {
	configs, numbers := in.group(server)
	routes := map[string]fastpath.Route{}
	var statuses []Status
	useful := false
	for i, config := range configs {
		b := &in.blocks[numbers[i]]
		status := Status{Address: server.Addr, Zone: config.Zone, Where: b.where, Slow: b.slow, Uncached: b.uncached}
		if b.slowListener != "" {
			return nil, in.allSlow(server, b.slowListener), nil
		}
		route := fastpath.Route{Zone: config.Zone}
		if b.slow == "" {
			if err := in.fill(&route, b, config); err != nil {
				return nil, nil, err
			}
			if b.counted {
				route.Counts = counts(server.Addr, config.Zone)
			}
			useful = true
		}
		if _, twice := routes[config.Zone]; twice { // views: which block it is depends on the question
			route = fastpath.Route{Zone: config.Zone}
		}
		routes[config.Zone] = route
		statuses = append(statuses, status)
	}
	if !useful {
		return nil, statuses, nil
	}
	var all []fastpath.Route
	for _, r := range routes {
		all = append(all, r)
	}
	return all, statuses, nil
}

// fill sets what a route takes from the block.
func (in *input) fill(route *fastpath.Route, b *block, config *dnsserver.Config) error {
	handler, ok := config.Handler(b.directive).(*plugin.Handler)
	if !ok {
		return fmt.Errorf("bug: no handler of %s in the block at %s", b.directive, b.where)
	}
	route.Answers = handler.Zones()
	route.Rotate, route.KeepDenials, route.Clamped, route.BufferSize = b.rotate, b.denialsGoOn, b.clamped, b.bufferSize
	if b.caches == nil {
		return nil
	}
	var err error
	route.Cache, err = fastpath.NewCache(*b.caches)
	return err
}

// allSlow is the status of each block of a server where one of them rules out a fast path.
func (in *input) allSlow(server *dnsserver.Server, reason string) []Status {
	configs, numbers := in.group(server)
	var out []Status
	for i, config := range configs {
		out = append(out, Status{Address: server.Addr, Zone: config.Zone, Where: in.blocks[numbers[i]].where, Slow: reason})
	}
	return out
}

// boundTo returns the address that a server's UDP socket is bound to.
func boundTo(instance *caddy.Instance, server *dnsserver.Server) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(server.Addr[len(transport.DNS+"://"):])
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address of the listener %s: %w", server.Addr, err)
	}
	for _, candidate := range instance.Servers() {
		udp, ok := candidate.LocalAddr().(*net.UDPAddr)
		if !ok {
			continue
		}
		bound := udp.AddrPort()
		same := host == "" && bound.Addr().IsUnspecified()
		if addr, err := netip.ParseAddr(host); err == nil {
			same = addr.Unmap() == bound.Addr().Unmap()
		}
		if same && (port == "0" || port == fmt.Sprint(bound.Port())) {
			return bound, nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("no socket of CoreDNS is bound to %s", server.Addr)
}
