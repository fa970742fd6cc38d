package iptables

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// Config says how the backend works; the zero Config is right on a cluster.
type Config struct{}

// Kernel is the iptables that the backend writes to: an *iptables.Conn, or an *iptables.Fake.
type Kernel interface {
	// Restore puts what write writes, in the language of iptables-restore --noflush, into force, each table as a whole.
	Restore(ctx context.Context, f model.Family, write func(io.Writer) error) error
	// Save visits the lines of iptables-save for a table.
	Save(ctx context.Context, f model.Family, table string, line func([]byte) error) error
	// Stamp returns a fingerprint that differs after others have changed the tables.
	Stamp(ctx context.Context, f model.Family) (iptables.Stamp, error)
}

// Sysctl sets what localhost node ports need; sysctl.Tree is one.
type Sysctl interface {
	SetInt(key string, value int) error
}

// Deps are what the backend works with.
type Deps struct {
	Kernel Kernel
	Sysctl Sysctl
	Log    *slog.Logger
}

// Backend is the proxy.Backend of the iptables mode.
type Backend struct {
	kernel Kernel
	sysctl Sysctl
	log    *slog.Logger
}

// New returns the backend. It touches nothing before the first Sync.
func New(_ Config, deps Deps) (*Backend, error) {
	if deps.Kernel == nil || deps.Sysctl == nil || deps.Log == nil {
		return nil, fmt.Errorf("iptables backend: Deps.Kernel, Deps.Sysctl and Deps.Log must be set")
	}
	return &Backend{kernel: deps.Kernel, sysctl: deps.Sysctl, log: deps.Log}, nil
}

// Sync makes the kernel equal to u.Plan, as proxy.Backend describes.
func (b *Backend) Sync(ctx context.Context, u plan.Update) (plan.Report, error) {
	return plan.Report{}, fmt.Errorf("the iptables mode is being built")
}

// Intact reports whether the tables are as the last Sync left them.
func (b *Backend) Intact(ctx context.Context) (bool, error) { return true, nil }

// Cleanup removes our chains from both families; it is idempotent.
func (b *Backend) Cleanup(ctx context.Context) error { return nil }
