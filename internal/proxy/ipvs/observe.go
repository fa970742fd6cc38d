package ipvs

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
)

// observe reads what the kernel holds of a family, and makes the sets that it does not have.
func (b *Backend) observe(ctx context.Context, f *family, l layout) (*state, error) {
	have := newState()
	for id, s := range f.sets {
		list, err := b.deps.Sets.List(ctx, s)
		if errors.Is(err, ipset.ErrNotExist) {
			err = b.deps.Sets.Create(ctx, s)
		}
		if err != nil {
			return nil, err
		}
		have.entries[id] = list
	}
	have.sort()
	return have, b.observeServers(ctx, f, l, have)
}

// observeServers reads the virtual servers that bear our bit. Real servers of a weight that is
// not ours are leaving, or come back by being wanted.
func (b *Backend) observeServers(ctx context.Context, f *family, l layout, have *state) error {
	all, err := b.deps.Servers.Services(ctx)
	if err != nil {
		return err
	}
	f.servers = map[uint32]*present{}
	var list []ipvs.Server
	for _, s := range all {
		if s.Key.Family != f.model || s.Key.Mark&l.route == 0 {
			continue
		}
		if list, err = b.deps.Servers.Servers(ctx, s.Key, list[:0]); err != nil {
			return err
		}
		there := &present{}
		pool := &server{Service: s, endpoints: make([]netip.AddrPort, 0, len(list)), graceful: true}
		for _, d := range list {
			if d.Weight == 1 {
				pool.endpoints = append(pool.endpoints, d.Addr)
			} else {
				there.leave(d.Addr)
			}
		}
		slices.SortFunc(pool.endpoints, netip.AddrPort.Compare)
		f.servers[s.Key.Mark], have.pools[s.Key.Mark] = there, pool
	}
	return nil
}

func (p *present) leave(a netip.AddrPort) {
	if p.leaving == nil {
		p.leaving = map[netip.AddrPort]bool{}
	}
	p.leaving[a] = true
}
