package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/kernel/sysctl"
	"github.com/switchyard-net/switchyard/internal/proxy"
	iptablesmode "github.com/switchyard-net/switchyard/internal/proxy/iptables"
	"github.com/switchyard-net/switchyard/internal/proxy/nftables"
)

// kind is one way to make rules that the kernel keeps apart from the others: a mode, and of iptables a variant.
type kind struct {
	mode    string
	variant iptables.Variant
}

// kinds returns all of them.
func kinds() []kind {
	return []kind{
		{mode: config.ModeNFTables}, {config.ModeIPTables, iptables.Legacy}, {config.ModeIPTables, iptables.NFT},
		{mode: config.ModeIPVS}, {mode: config.ModeUserspace},
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
func open(ctx context.Context, k kind, log *slog.Logger) (_ *instance, err error) {
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
	default:
		err = fmt.Errorf("mode %q is being built", k.mode)
	}
	return i, err
}

func (i *instance) openNFTables(cfg nftables.Config, log *slog.Logger) (*nftables.Backend, error) {
	conn, err := nft.Open()
	if err != nil {
		return nil, err
	}
	i.closers = append(i.closers, conn)
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
	return iptablesmode.New(iptablesmode.Config{}, iptablesmode.Deps{Kernel: conn, Sysctl: sysctl.Tree{}, Log: log})
}
