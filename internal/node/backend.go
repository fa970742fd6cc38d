package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/kernel/route"
	"github.com/switchyard-net/switchyard/internal/kernel/sysctl"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/proxy"
	iptablesmode "github.com/switchyard-net/switchyard/internal/proxy/iptables"
	ipvsmode "github.com/switchyard-net/switchyard/internal/proxy/ipvs"
	"github.com/switchyard-net/switchyard/internal/proxy/nftables"
	"github.com/switchyard-net/switchyard/internal/proxy/userspace"
)

// kind is one way to make rules that the kernel keeps apart from the others: a mode, and of iptables a variant.
type kind struct {
	mode    string
	variant iptables.Variant
}

// kinds returns all of them.
func kinds() []kind {
	return []kind{
		{mode: config.ModeNFTables},
		{config.ModeIPTables, iptables.Legacy},
		{config.ModeIPTables, iptables.NFT},
		{mode: config.ModeIPVS},
		{mode: config.ModeUserspace},
	}
}

func (k kind) String() string {
	if k.variant == "" {
		return k.mode
	}
	return k.mode + " (" + string(k.variant) + ")"
}

// instance is a backend with what it holds of the kernel, in the network namespace of the thread that opened it.
type instance struct {
	kind    kind
	backend proxy.Backend
	closers []io.Closer
	// made reports whether the kernel has rules of this kind, which Cleanup would remove.
	made func(context.Context) (bool, error)
}

// Close lets go of what the backend holds; rules stay.
func (i *instance) Close() error {
	var errs []error
	for n := len(i.closers) - 1; n >= 0; n-- {
		errs = append(errs, i.closers[n].Close())
	}
	return errors.Join(errs...)
}

// supported returns nil if the kernel has what the mode needs.
func (i *instance) supported(ctx context.Context) error {
	if prober, ok := i.backend.(proxy.Prober); ok {
		return prober.Supported(ctx)
	}
	return nil
}

// open returns the backend of a kind. It touches nothing yet.
func open(ctx context.Context, k kind, settings config.IPVS, log *slog.Logger) (_ *instance, err error) {
	i := &instance{kind: k}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.Close())
		}
	}()
	switch k.mode {
	case config.ModeNFTables:
		i.backend, err = i.openNFTables(nftables.Config{}, log)
	case config.ModeIPTables:
		i.backend, err = i.openIPTables(ctx, log)
	case config.ModeIPVS:
		i.backend, err = i.openIPVS(ctx, settings, log)
	case config.ModeUserspace:
		i.backend, err = i.openUserspace(log)
	default:
		err = fmt.Errorf("bug: mode %q has no backend", k.mode)
	}
	return i, err
}

func (i *instance) openNFTables(cfg nftables.Config, log *slog.Logger) (*nftables.Backend, error) {
	conn, err := nft.Open()
	if err != nil {
		return nil, err
	}
	i.closers = append(i.closers, conn)
	name := nftables.DefaultTable
	if cfg.Handover.FirstPort != 0 {
		name = nftables.HandoverTable
	}
	i.made = func(ctx context.Context) (bool, error) {
		var made bool
		for _, family := range []nft.Family{nft.IPv4, nft.IPv6} {
			listing, err := conn.List(ctx, nft.Table{Family: family, Name: name})
			if err != nil && !nft.IsUnsupported(err) {
				return false, err
			}
			made = made || listing != nil
		}
		return made, nil
	}
	return nftables.New(cfg, nftables.Deps{Kernel: conn, Log: log})
}

func (i *instance) openIPTables(ctx context.Context, log *slog.Logger) (*iptablesmode.Backend, error) {
	conn, err := iptables.Open(ctx, iptables.Options{Variant: i.kind.variant})
	if err != nil {
		return nil, err
	}
	i.closers = append(i.closers, conn)
	// Where the system was to decide, now it is known.
	i.kind.variant = conn.Variant()
	i.made = func(ctx context.Context) (bool, error) { return hasChain(ctx, conn, "nat", "SWITCHYARD-SERVICES") }
	return iptablesmode.New(iptablesmode.Config{}, iptablesmode.Deps{Kernel: conn, Sysctl: sysctl.Tree{}, Log: log})
}

func (i *instance) openIPVS(ctx context.Context, settings config.IPVS, log *slog.Logger) (*ipvsmode.Backend, error) {
	servers, err := ipvs.Open()
	if err != nil {
		return nil, err
	}
	i.closers = append(i.closers, servers)
	sets, err := ipset.Open()
	if err != nil {
		return nil, err
	}
	i.closers = append(i.closers, sets)
	rules, err := iptables.Open(ctx, iptables.Options{})
	if err != nil {
		return nil, err
	}
	i.closers = append(i.closers, rules)
	i.made = func(ctx context.Context) (bool, error) { return hasChain(ctx, rules, "mangle", "SWITCHYARD-IPVS") }
	host, err := route.Open()
	if err != nil {
		return nil, err
	}
	i.closers = append(i.closers, host)
	tracker, err := conntrack.Open()
	if err != nil {
		return nil, err
	}
	i.closers = append(i.closers, tracker)
	return ipvsmode.New(ipvsmode.Config{
		Scheduler: settings.Scheduler,
		Timeouts:  ipvs.Timeouts{TCP: settings.TCPTimeout, TCPFin: settings.TCPFinTimeout, UDP: settings.UDPTimeout},
		StrictARP: settings.StrictARP,
	}, ipvsmode.Deps{
		Servers: servers, Sets: sets, Rules: rules, Routes: host, Tracker: tracker, Sysctls: sysctl.Tree{}, Log: log,
		TakeOver: func(ctx context.Context) error { return cleanUp(ctx, i.kind, log) },
	})
}

func (i *instance) openUserspace(log *slog.Logger) (*userspace.Backend, error) {
	rules, err := i.openNFTables(nftables.Config{Handover: nftables.Handover{FirstPort: userspace.DefaultFirstPort}}, log)
	if err != nil {
		return nil, err
	}
	backend, err := userspace.New(userspace.Config{}, userspace.Deps{Rules: rules, Log: log})
	if err == nil {
		i.closers = append(i.closers, backend)
	}
	return backend, err
}

// hasChain reports whether a table of either family has a chain.
func hasChain(ctx context.Context, conn *iptables.Conn, table, chain string) (found bool, err error) {
	for _, family := range []model.Family{model.IPv4, model.IPv6} {
		err := conn.Save(ctx, family, table, func(line []byte) error {
			found = found || bytes.HasPrefix(line, []byte(":"+chain+" "))
			return nil
		})
		if err != nil && family == model.IPv4 {
			return false, err
		}
	}
	return found, nil
}
