package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// setting is a sysctl that the mode needs, or that it is better with.
type setting struct {
	key   string
	value int
	// without is what happens without; empty: nothing works without.
	without string
}

// settings returns the sysctls of the namespace.
func (b *Backend) settings() []setting {
	list := []setting{
		{conntrackSetting, 1, ""},
		{"net.ipv4.vs.expire_nodest_conn", 1, "connections to an endpoint that is gone hang instead of being closed"},
		{"net.ipv4.vs.expire_quiescent_template", 1, "clients with session affinity keep an endpoint that is gone"},
		{"net.ipv4.vs.conn_reuse_mode", ipvs.ReuseMode(), "connections from a source port that is used again may reach an endpoint that is gone"},
	}
	if b.config.StrictARP {
		list = append(list,
			setting{"net.ipv4.conf.all.arp_ignore", 1, "the node answers ARP for addresses of other interfaces"},
			setting{"net.ipv4.conf.all.arp_announce", 2, "the node speaks ARP in the name of addresses of other interfaces"})
	}
	return list
}

// Supported returns nil if the kernel has IPVS together with connection tracking, and the kinds of ipset that the mode
// needs, as proxy.Prober describes.
func (b *Backend) Supported(ctx context.Context) error {
	if _, err := b.deps.Sysctls.Int(conntrackSetting); err != nil {
		return withoutConntrack(err)
	}
	for _, s := range familySets(model.IPv4) {
		s.Name = "switchyard-probe"
		err := b.deps.Sets.Create(ctx, s)
		if errors.Is(err, ipset.ErrUnsupported) {
			return fmt.Errorf("the ipvs mode needs ipsets of the kind %s (module ip_set_%s): %w", s.Kind, s.Kind.Module(), err)
		}
		if err == nil {
			err = b.deps.Sets.Destroy(ctx, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const conntrackSetting = "net.ipv4.vs.conntrack"

func withoutConntrack(err error) error {
	return fmt.Errorf("the ipvs mode needs IPVS together with connection tracking (kernel option CONFIG_IP_VS_NFCT, module ip_vs): %w", err)
}

// prepare sets what the mode needs of its namespace, once.
func (b *Backend) prepare(ctx context.Context) error {
	if b.prepared {
		return nil
	}
	b.lacking = nil
	for _, s := range b.settings() {
		err := b.deps.Sysctls.SetInt(s.key, s.value)
		switch {
		case err == nil:
		case s.without == "" && errors.Is(err, fs.ErrNotExist):
			return withoutConntrack(err)
		case s.without == "":
			return err
		default:
			b.lacking = append(b.lacking, plan.Unsupported{
				Capability: fmt.Sprintf("sysctl %s=%d", s.key, s.value), Consequence: s.without,
				Remedy: fmt.Sprintf("let the node write it, or set it beforehand (%v)", err),
			})
		}
	}
	if err := b.deps.Servers.SetTimeouts(ctx, b.config.Timeouts); err != nil {
		return err
	}
	b.prepared = true
	return nil
}

// isMissing reports whether an error means that the node does not have IPv6 at all, and no Service needs it.
func (b *Backend) isMissing(f *family, p *plan.Plan, err error) bool {
	if f.model != model.IPv6 || !isWithout(err) {
		return false
	}
	for _, s := range p.Services.All() {
		for i := range s.Frontends {
			if s.Frontends[i].Key.Family() == f.model {
				return false
			}
		}
	}
	f.missing = true
	return true
}

// isWithout reports whether an error may mean that the kernel does not have a family.
func isWithout(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, ipset.ErrUnsupported) || iptables.IsRefused(err)
}

// unsupported returns all that a plan asks for and this mode cannot do.
func (b *Backend) unsupported(p *plan.Plan) []plan.Unsupported {
	list := append([]plan.Unsupported(nil), b.lacking...)
	for _, f := range b.families {
		if f.missing {
			list = append(list, plan.Unsupported{
				Capability:  "ip6tables and ipset for IPv6",
				Consequence: "IPv6 addresses of Services are not answered by this node",
				Remedy:      "boot without ipv6.disable=1, on a kernel with ip6_tables and ip_set",
			})
		}
	}
	for _, a := range p.Node.NodePorts.Addrs {
		if a.IsLoopback() {
			list = append(list, plan.Unsupported{
				Capability:  "nodePorts on loopback addresses",
				Consequence: "connections to a node port at 127.0.0.1 or ::1 are not answered",
				Remedy:      "connect to another of the node's addresses, or have node ports on loopback addresses served by the userspace proxy",
			})
			break
		}
	}
	if services := b.forgetful(p); len(services) > 0 {
		list = append(list, plan.Unsupported{
			Capability:  "session affinity among endpoints of different ports",
			Consequence: "connections of a client are spread over the endpoints",
			Remedy:      "give the pods the same target port, or choose another proxy mode",
			Services:    services,
		})
	}
	return list
}

// forgetful returns the Services whose clients cannot be remembered.
func (b *Backend) forgetful(p *plan.Plan) []model.Ref {
	var list []model.Ref
	for ref, s := range p.Services.All() {
		if slices.ContainsFunc(s.Pools, b.isForgetful) {
			list = append(list, ref)
		}
	}
	slices.SortFunc(list, compareRefs)
	return list
}

func (b *Backend) isForgetful(p plan.Pool) bool {
	if p.Affinity == 0 || len(p.Endpoints) == 0 {
		return false
	}
	for _, f := range b.families {
		if f.model == p.Family && f.ports != nil {
			return f.ports.lacks(commonPort(&p))
		}
	}
	return false
}
