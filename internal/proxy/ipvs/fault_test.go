package ipvs

import (
	"context"
	"errors"
	"io"

	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/model"
)

// withFaults returns a kernel of which calls fail when fault says so, those that change something before or after they
// have had their effect.
func withFaults(d Deps, fault func() error) Deps {
	d.Servers = faultyServers{d.Servers, fault}
	d.Sets = faultySets{d.Sets, fault}
	d.Rules = faultyRules{d.Rules, fault}
	d.Routes = faultyRoutes{d.Routes, fault}
	return d
}

// around calls change unless it fails before, and lets it fail after.
func around(fault, change func() error) error {
	if err := fault(); err != nil {
		return err
	}
	return errors.Join(change(), fault())
}

type faultyServers struct {
	inner Servers
	fault func() error
}

func (f faultyServers) Run(ctx context.Context, changes []ipvs.Change) error {
	if err := f.fault(); err != nil {
		// Some had their effect.
		return errors.Join(f.inner.Run(ctx, changes[:len(changes)/2]), err)
	}
	return errors.Join(f.inner.Run(ctx, changes), f.fault())
}

func (f faultyServers) SetTimeouts(ctx context.Context, t ipvs.Timeouts) error {
	return around(f.fault, func() error { return f.inner.SetTimeouts(ctx, t) })
}

func (f faultyServers) Services(ctx context.Context) ([]ipvs.Service, error) {
	list, err := f.inner.Services(ctx)
	return list, errors.Join(err, f.fault())
}

func (f faultyServers) Servers(ctx context.Context, k ipvs.Key, list []ipvs.Server) ([]ipvs.Server, error) {
	list, err := f.inner.Servers(ctx, k, list)
	return list, errors.Join(err, f.fault())
}

type faultySets struct {
	Sets
	fault func() error
}

func (f faultySets) Create(ctx context.Context, s ipset.Set) error {
	return around(f.fault, func() error { return f.Sets.Create(ctx, s) })
}

func (f faultySets) Add(ctx context.Context, s ipset.Set, list []ipset.Entry) error {
	return around(f.fault, func() error { return f.Sets.Add(ctx, s, list) })
}

func (f faultySets) Delete(ctx context.Context, s ipset.Set, list []ipset.Entry) error {
	return around(f.fault, func() error { return f.Sets.Delete(ctx, s, list) })
}

type faultyRules struct {
	Rules
	fault func() error
}

func (f faultyRules) Restore(ctx context.Context, family model.Family, write func(io.Writer) error) error {
	return around(f.fault, func() error { return f.Rules.Restore(ctx, family, write) })
}

func (f faultyRules) Stamp(ctx context.Context, family model.Family) (iptables.Stamp, error) {
	s, err := f.Rules.Stamp(ctx, family)
	return s, errors.Join(err, f.fault())
}

type faultyRoutes struct {
	Routes
	fault func() error
}

func (f faultyRoutes) DeliverMarked(family model.Family, mark uint32) (changed bool, err error) {
	err = around(f.fault, func() error { changed, err = f.Routes.DeliverMarked(family, mark); return err })
	return changed, err
}
