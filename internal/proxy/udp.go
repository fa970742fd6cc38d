package proxy

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// udpCleaner ends UDP flows that go on to an endpoint which does not serve any more: as long as their client keeps
// sending, no new rule would ever see them (k8s.io/kubernetes/pkg/proxy/conntrack/cleanup.go).
//
// A flow is ended if its original destination is a UDP frontend of ours, and who answers it is no serving endpoint of
// that Service port, whatever traffic policies, topology and termination say: they concern new flows only. TCP and
// SCTP flows keep their endpoint until they end.
type udpCleaner struct {
	families  []model.Family
	conntrack Conntrack
	metrics   *Metrics
	log       *slog.Logger

	// dirty names the Services that may have stale flows; all: any may.
	dirty map[model.Ref]struct{}
	all   bool
	// targets holds, of each Service with UDP frontends, what was right for its flows when they were last cleaned.
	targets map[model.Ref]udpTargets
	// retryAt is when to try again after a failure.
	retryAt time.Time
}

// udpTargets holds, for each UDP frontend (an unspecified address stands for the node's own), the serving endpoints.
type udpTargets map[netip.AddrPort][]netip.AddrPort

func newUDPCleaner(families []model.Family, deps Deps) udpCleaner {
	return udpCleaner{
		families: families, conntrack: deps.Conntrack, metrics: deps.Metrics, log: deps.Log,
		dirty: map[model.Ref]struct{}{}, all: true, targets: map[model.Ref]udpTargets{},
	}
}

// note remembers what changed until clean.
func (c *udpCleaner) note(changes model.Changes) {
	c.all = c.all || changes.All
	for ref := range changes.Services {
		c.dirty[ref] = struct{}{}
	}
}

// noteAll asks for everything to be gone through, as after a full sync.
func (c *udpCleaner) noteAll() { c.all = true }

// clean ends the stale flows of the noted Services. The kernel must have the rules of p, or a new packet would only
// recreate a stale flow. It does nothing while no Service has UDP frontends.
func (c *udpCleaner) clean(snapshot *model.Snapshot, p *plan.Plan) {
	if c.conntrack == nil || !c.all && len(c.dirty) == 0 || time.Now().Before(c.retryAt) {
		return
	}
	check := udpTargets{}
	for ref, targets := range c.due(snapshot, p) {
		for frontend, endpoints := range targets {
			check[frontend] = endpoints
		}
		c.targets[ref] = targets
	}
	c.all = false
	clear(c.dirty)
	if len(check) == 0 {
		return
	}
	for _, family := range c.families {
		if err := c.cleanFamily(family, staleness{check, p.Node}); err != nil {
			c.log.Warn("cannot end all stale UDP flows; trying again", "family", family, "error", err)
			c.all, c.retryAt = true, time.Now().Add(inspectPeriod)
		}
	}
}

// due returns the targets of those noted Services whose flows may have become stale, and forgets those without any.
func (c *udpCleaner) due(snapshot *model.Snapshot, p *plan.Plan) map[model.Ref]udpTargets {
	out := map[model.Ref]udpTargets{}
	if c.all {
		clear(c.targets)
		for ref, service := range p.Services.All() {
			if targets := targetsOf(service, snapshot.View(ref)); len(targets) > 0 {
				out[ref] = targets
			}
		}
		return out
	}
	for ref := range c.dirty {
		service, ok := p.Services.Get(ref)
		if !ok {
			delete(c.targets, ref)
			continue
		}
		targets := targetsOf(service, snapshot.View(ref))
		if len(targets) == 0 {
			delete(c.targets, ref)
		} else if !targets.equal(c.targets[ref]) {
			out[ref] = targets
		}
	}
	return out
}

func (t udpTargets) equal(other udpTargets) bool {
	if len(t) != len(other) {
		return false
	}
	for frontend, endpoints := range t {
		before, ok := other[frontend]
		if !ok || !slices.Equal(endpoints, before) {
			return false
		}
	}
	return true
}

// targetsOf returns the UDP frontends of a Service with their serving endpoints.
func targetsOf(s *plan.Service, view model.ServiceView) udpTargets {
	var out udpTargets
	for _, f := range s.Frontends {
		if f.Key.Protocol != model.UDP {
			continue
		}
		endpoints := servingEndpoints(view.Slices, f.Key.Family(), f.PortName)
		if f.Key.AnyNode() && len(endpoints) == 0 {
			continue // as kube-proxy: a port number alone says too little about whose flow it is
		}
		if out == nil {
			out = udpTargets{}
		}
		out[netip.AddrPortFrom(f.Key.Addr, f.Key.Port)] = endpoints
	}
	return out
}

// servingEndpoints returns the endpoints of a UDP port that answer, in order. Ready ones are among them even where they
// do not serve: with publishNotReadyAddresses, traffic is sent to those on purpose.
func servingEndpoints(all []*model.EndpointSlice, family model.Family, portName string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, slice := range all {
		if slice.Family != family {
			continue
		}
		for _, port := range slice.Ports {
			if port.Protocol != model.UDP || port.Name != portName {
				continue
			}
			for _, e := range slice.Endpoints {
				if e.Conditions&(model.Serving|model.Ready) != 0 {
					out = append(out, netip.AddrPortFrom(e.Addr.Unmap(), port.Port))
				}
			}
		}
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out)
}

// staleness decides which flows are stale.
type staleness struct {
	targets udpTargets
	node    plan.Node
}

func (s staleness) of(f conntrack.Flow) bool {
	endpoints, ours := s.targets[f.Destination]
	if !ours && s.isNodePortAddress(f.Destination.Addr()) {
		anyAddr := netip.IPv4Unspecified()
		if f.Destination.Addr().Is6() {
			anyAddr = netip.IPv6Unspecified()
		}
		endpoints, ours = s.targets[netip.AddrPortFrom(anyAddr, f.Destination.Port())]
	}
	if !ours {
		return false
	}
	_, serving := slices.BinarySearchFunc(endpoints, f.ReplySource, netip.AddrPort.Compare)
	return !serving
}

// isNodePortAddress reports whether the node answers on node ports at an address: a flow to the same port of somebody
// else's is none of ours.
func (s staleness) isNodePortAddress(a netip.Addr) bool {
	if !s.node.NodePorts.AnyLocal {
		return slices.Contains(s.node.NodePorts.Addrs, a)
	}
	return slices.Contains(s.node.LocalAddrs, a)
}

func (c *udpCleaner) cleanFamily(family model.Family, s staleness) error {
	start := time.Now()
	flows, err := c.conntrack.UDPFlows(family, s.of)
	if err != nil && !errors.Is(err, conntrack.ErrPartial) {
		return err
	}
	deleted, deleteErr := c.conntrack.Delete(flows)
	c.metrics.conntrackDuration.WithLabelValues(family.String()).Observe(time.Since(start).Seconds())
	c.metrics.conntrackDeleted.WithLabelValues(family.String()).Add(float64(deleted))
	if deleted > 0 {
		c.log.Info("ended stale UDP flows", "family", family, "flows", deleted, "took", time.Since(start))
	}
	return errors.Join(err, deleteErr)
}
