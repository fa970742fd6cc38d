package iptables

import (
	"context"
	"fmt"
	"hash/maphash"
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
	// It may call write more than once.
	Restore(ctx context.Context, f model.Family, write func(io.Writer) error) error
	// Save visits the lines of iptables-save for a table; there are none if the kernel does not have the table yet.
	Save(ctx context.Context, f model.Family, table string, line func([]byte) error) error
	// Variant returns which of the two it is.
	Variant() iptables.Variant
	// FullLists counts the lists of the match recent whose names begin so and which can hold no more.
	FullLists(prefix string) (int, error)
	// Stamp returns a fingerprint that differs after others have changed the tables.
	Stamp(ctx context.Context, f model.Family) (iptables.Stamp, error)
}

// Sysctl sets what node ports on loopback addresses need; sysctl.Tree is one.
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
	kernel   Kernel
	sysctl   Sysctl
	log      *slog.Logger
	families []*family
	seed     maphash.Seed
	// stamps are the fingerprints of the families' tables as we left them.
	stamps [2]iptables.Stamp

	// last is the plan that the kernel equals; nil: not known.
	last *plan.Plan
	// listing says whether change.list does what it shall.
	listing trust
	// lacking is what the trials found missing after the last failure.
	lacking []plan.Unsupported
	// fullLists is how many lists of clients could hold no more when everything was last compared.
	fullLists int
	// loopback is why node ports are not answered on loopback addresses that the plan names; nil: they are.
	loopback error
}

// New returns the backend. It touches nothing before the first Sync.
func New(_ Config, deps Deps) (*Backend, error) {
	if deps.Kernel == nil || deps.Sysctl == nil || deps.Log == nil {
		return nil, fmt.Errorf("iptables backend: Deps.Kernel, Deps.Sysctl and Deps.Log must be set")
	}
	return &Backend{
		kernel: deps.Kernel, sysctl: deps.Sysctl, log: deps.Log, seed: maphash.MakeSeed(),
		families: []*family{newFamily(model.IPv4), newFamily(model.IPv6)},
	}, nil
}

// Sync makes the kernel equal to u.Plan, as proxy.Backend describes.
func (b *Backend) Sync(ctx context.Context, u plan.Update) (plan.Report, error) {
	report, err := b.sync(ctx, u)
	for err != nil {
		b.last = nil
		if !b.explain(ctx, err) {
			break
		}
		report, err = b.sync(ctx, u)
	}
	if err == nil {
		b.last, b.lacking = u.Plan, nil
		report.Rulesets = b.rulesets()
	}
	if report.Repaired > 0 {
		b.log.Info("undid outside changes of the iptables rules", "operations", report.Repaired)
	}
	report.Unsupported = b.unsupported(u.Plan)
	return report, err
}

// Intact reports whether the tables look as the last Sync left them: it costs a few system calls.
func (b *Backend) Intact(ctx context.Context) (bool, error) {
	if b.last == nil {
		return false, nil
	}
	now, err := b.stampsNow(ctx)
	return err == nil && now == b.stamps, err
}

// Cleanup removes our chains from both families; it is idempotent.
func (b *Backend) Cleanup(ctx context.Context) error {
	b.last = nil
	for _, f := range b.families {
		err := b.clean(ctx, f)
		if f.model == model.IPv6 && iptables.IsRefused(err) {
			continue // a node without IPv6 has none of our rules
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) clean(ctx context.Context, f *family) error {
	var changes []*change
	for _, table := range []string{"filter", "nat"} {
		have, err := b.observe(ctx, f, table)
		if err != nil {
			return fmt.Errorf("read the %s rules of table %s: %w", f.model, table, err)
		}
		c := &change{table: table}
		for name := range have.sums {
			c.gone = append(c.gone, name)
			if name == martians {
				if err := b.sysctl.SetInt(routeLocalnet, 0); err != nil {
					return err
				}
			}
		}
		c.rejump(have.jumps, nil)
		changes = append(changes, c)
	}
	return b.restore(ctx, f, &renderer{}, &plan.Report{}, changes...)
}
