package userspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/kernel/relay"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy"
)

// LocalNodePorts is a Backend that is to be closed after its use.
type LocalNodePorts interface {
	proxy.Backend
	io.Closer
}

// localNodePorts answers on TCP node ports at loopback addresses, for a backend whose packet rules cannot: the kernel does
// not route translated packets from a loopback address (KEP-6032). It listens on each such port, and does the rest as
// the userspace mode does. Other protocols find nobody there, and are refused by the kernel.
//
// Where nodePortAddresses names no loopback address, it costs nothing.
type localNodePorts struct {
	backend proxy.Backend
	probing *Backend // for its network namespace and its probe only
	log     *slog.Logger
	// families are those whose loopback addresses the backend cannot answer on.
	families []model.Family

	router    *router
	relay     *relay.Relay // nil: nothing to listen on yet
	listeners map[netip.AddrPort]*relay.Listener
	failed    map[netip.AddrPort]error
	other     map[netip.AddrPort]model.Ref // node ports of other protocols
	again     bool                         // everything is to be gone through
}

// inspected is for a backend that is a proxy.Inspector: the listeners are nobody else's to change.
type inspected struct {
	*localNodePorts
	proxy.Inspector
}

// WithLocalNodePorts returns the backend with TCP node ports at loopback addresses besides, in the network namespace of
// the calling thread. families are those in which the backend cannot answer on them itself. The result is a
// proxy.Inspector if the backend is one.
func WithLocalNodePorts(backend proxy.Backend, log *slog.Logger, families ...model.Family) (LocalNodePorts, error) {
	ns, err := relay.CurrentNamespace()
	if err != nil {
		return nil, err
	}
	n := &localNodePorts{
		backend: backend, probing: &Backend{ns: ns}, log: log, families: families, again: true,
		listeners: map[netip.AddrPort]*relay.Listener{}, failed: map[netip.AddrPort]error{}, other: map[netip.AddrPort]model.Ref{},
	}
	n.reset()
	if inspector, ok := backend.(proxy.Inspector); ok {
		return inspected{n, inspector}, nil
	}
	return n, nil
}

// reset forgets everything about Services.
func (n *localNodePorts) reset() {
	if n.router != nil {
		n.router.health.close()
	}
	n.router = &router{table: newTable(), affinity: newAffinity(), health: newHealth(n.probing.probe, n.log)}
}

// Sync is proxy.Backend's.
func (n *localNodePorts) Sync(ctx context.Context, u plan.Update) (plan.Report, error) {
	left, loopback := n.divide(u.Plan)
	report, err := n.backend.Sync(ctx, plan.Update{Plan: left, Changed: u.Changed, Full: u.Full})
	if err != nil {
		n.again = true
		return report, err
	}
	u.Full = u.Full || n.again
	if len(loopback) == 0 && len(n.listeners) == 0 {
		n.again = true // what changes now is not looked at
		return report, nil
	}
	n.router.table.add(u)
	changes, err := n.listen(u.Plan, loopback)
	n.router.table.remove(u)
	report.Operations += changes
	n.again = err != nil
	if err != nil {
		return report, err
	}
	report.Unsupported = append(report.Unsupported, n.unsupported()...)
	return report, nil
}

// divide returns what is left of a plan to the backend, and the loopback addresses that node ports are wanted on.
func (n *localNodePorts) divide(p *plan.Plan) (left *plan.Plan, loopback []netip.Addr) {
	left = &plan.Plan{Services: p.Services, Node: p.Node}
	left.Node.NodePorts.Addrs = nil
	for _, a := range p.Node.NodePorts.Addrs {
		if a.IsLoopback() && slices.Contains(n.families, model.FamilyOf(a)) {
			loopback = append(loopback, a.Unmap())
		} else {
			left.Node.NodePorts.Addrs = append(left.Node.NodePorts.Addrs, a)
		}
	}
	return left, loopback
}

// listen opens and closes listeners as the plan wants. A port that somebody else has is tried again by the next Sync.
func (n *localNodePorts) listen(p *plan.Plan, loopback []netip.Addr) (changes int, err error) {
	wanted := n.wanted(p, loopback)
	if n.relay == nil && len(wanted) > 0 {
		if err := n.start(); err != nil {
			return 0, err
		}
	}
	for at, l := range n.listeners {
		if !wanted[at] {
			n.relay.Leave(l)
			delete(n.listeners, at)
			changes++
			err = errors.Join(err, l.Close())
		}
	}
	clear(n.failed)
	for at := range wanted {
		if n.listeners[at] != nil {
			continue
		}
		var l *relay.Listener
		failed := n.probing.ns.Do(func() (err error) {
			l, err = relay.Listen(at, relay.ListenOptions{Shared: true})
			return err
		})
		if failed != nil {
			n.failed[at] = failed
			continue
		}
		n.listeners[at] = l
		n.relay.Accept(l, classNode)
		changes++
	}
	return changes, err
}

func (n *localNodePorts) start() error {
	return n.probing.ns.Do(func() (err error) {
		n.relay, err = relay.New(relay.Config{Workers: 1}, n.router)
		return err
	})
}

// wanted returns the addresses and ports to listen on: those of frontends that have endpoints for a client on the node.
func (n *localNodePorts) wanted(p *plan.Plan, loopback []netip.Addr) map[netip.AddrPort]bool {
	wanted := map[netip.AddrPort]bool{}
	clear(n.other)
	for ref, s := range p.Services.All() {
		for i := range s.Frontends {
			f := &s.Frontends[i]
			if !f.Key.AnyNode() {
				continue
			}
			for _, a := range loopback {
				at := netip.AddrPortFrom(a, f.Key.Port)
				switch {
				case model.FamilyOf(a) != f.Key.Family():
				case f.Key.Protocol != model.TCP:
					n.other[at] = ref
				case f.LocalClientPool != plan.NoPool || f.Verdict == plan.Forward && f.Pool != plan.NoPool:
					wanted[at] = true
				}
			}
		}
	}
	return wanted
}

// unsupported returns the node ports that are not answered.
func (n *localNodePorts) unsupported() []plan.Unsupported {
	var list []plan.Unsupported
	for _, at := range slices.SortedFunc(maps.Keys(n.failed), netip.AddrPort.Compare) {
		list = append(list, plan.Unsupported{
			Capability:  "node port at " + at.String(),
			Consequence: "connections to it reach another process: " + n.failed[at].Error(),
			Remedy:      "end that process, or give the Service another nodePort",
		})
	}
	if len(n.other) > 0 {
		var names []string
		for _, ref := range n.other {
			names = append(names, ref.String())
		}
		slices.Sort(names)
		list = append(list, plan.Unsupported{
			Capability:  "node ports of UDP and SCTP on loopback addresses",
			Consequence: fmt.Sprintf("they are refused there: %s", strings.Join(slices.Compact(names), ", ")),
			Remedy:      "use another address of the node, or the userspace mode, which answers UDP there",
			Services:    slices.Collect(maps.Values(n.other)),
		})
	}
	return list
}

// Cleanup is proxy.Backend's.
func (n *localNodePorts) Cleanup(ctx context.Context) error {
	n.again = true
	err := errors.Join(n.backend.Cleanup(ctx), n.stop())
	n.reset()
	return err
}

// stop closes all listeners and cuts what goes through them.
func (n *localNodePorts) stop() error {
	var err error
	for at, l := range n.listeners {
		n.relay.Leave(l)
		delete(n.listeners, at)
		err = errors.Join(err, l.Close())
	}
	if n.relay != nil {
		err = errors.Join(err, n.relay.Close())
		n.relay = nil
	}
	return err
}

// Close ends the listeners; the rules of the backend stay.
func (n *localNodePorts) Close() error {
	err := n.stop()
	n.router.health.close()
	return errors.Join(err, n.probing.ns.Close())
}

// Supported is proxy.Prober's.
func (n *localNodePorts) Supported(ctx context.Context) error {
	if prober, ok := n.backend.(proxy.Prober); ok {
		return prober.Supported(ctx)
	}
	return nil
}
