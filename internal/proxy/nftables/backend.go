package nftables

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// Config says how the backend works; the zero Config is right on a cluster.
type Config struct {
	// Table is the name of our table in both families; empty: DefaultTable, or HandoverTable where connections are
	// handed over.
	Table string
	// Handover is set in the userspace mode.
	Handover Handover
}

// Kernel is the nf_tables that the backend writes to: an *nft.Conn, or an *nft.Fake.
type Kernel interface {
	// Run puts a transaction into force, or changes nothing.
	Run(ctx context.Context, tx *nft.Transaction) error
	// List returns what a table holds without elements, nil if there is no such table.
	List(ctx context.Context, t nft.Table) (*nft.Listing, error)
	// Elements visits the elements of a set, anew after each call of restart.
	Elements(ctx context.Context, t nft.Table, set string, restart func(), visit func(nft.Element)) error
	// Generation returns a number that every transaction of any program increments.
	Generation(ctx context.Context) (uint32, error)
}

// Deps are what the backend works with.
type Deps struct {
	Kernel Kernel
	Log    *slog.Logger
}

// Backend is the proxy.Backend of the nftables mode.
type Backend struct {
	kernel   Kernel
	log      *slog.Logger
	families []*family
	// rest is how long an unused chain stays: unusedRest, but in tests.
	rest time.Duration

	// last is the plan that the kernel equals; nil: not known.
	last *plan.Plan
	// generation is the ruleset's as we left it.
	generation uint32
	// lacking is what the probe found missing after the last failure.
	lacking []plan.Unsupported
}

// family is one family's table and what the backend remembers of it: nothing per Service or endpoint but names.
type family struct {
	table    nft.Table
	sets     []nft.Set
	handover Handover
	// chains counts the uses of each chain, counted those of shared elements.
	chains  map[string]int
	counted map[countedKey]int
	// unused are chains that are in the kernel still, as it did not let go of them yet.
	unused map[string]*chain
	// built are chains as they are for the node of the last plan, by name; those of single Services are not kept.
	built map[string]*chain
	ids   *affinityIDs
	// missing is true where the kernel does not have this family.
	missing bool
	// affinityFull is true where the affinity map held as many elements as it can when it was last read.
	affinityFull bool
}

// New returns the backend. It touches nothing before the first Sync.
func New(cfg Config, deps Deps) (*Backend, error) {
	if deps.Kernel == nil || deps.Log == nil {
		return nil, fmt.Errorf("nftables backend: Deps.Kernel and Deps.Log must be set")
	}
	switch {
	case cfg.Table != "":
	case cfg.Handover.FirstPort != 0:
		cfg.Table = HandoverTable
	default:
		cfg.Table = DefaultTable
	}
	b := &Backend{kernel: deps.Kernel, log: deps.Log, rest: unusedRest}
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
		b.families = append(b.families, &family{
			table: nft.Table{Family: f, Name: cfg.Table, Comment: "Kubernetes Services; owned by switchyard, which undoes outside changes"},
			sets:  tableSets(f), unused: map[string]*chain{}, handover: cfg.Handover,
		})
	}
	return b, nil
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
	}
	report.Unsupported = b.unsupported(u.Plan)
	return report, err
}

// Intact reports whether no transaction of another program has come into force since the last Sync, in this network
// namespace and on any table: it costs one system call.
func (b *Backend) Intact(ctx context.Context) (bool, error) {
	generation, err := b.kernel.Generation(ctx)
	return err == nil && b.last != nil && generation == b.generation, err
}

func (b *Backend) sync(ctx context.Context, u plan.Update) (plan.Report, error) {
	switch {
	case b.last == nil:
		return b.syncAll(ctx, u.Plan)
	case !u.Full && sameNode(b.last, u.Plan):
		return b.syncChanged(ctx, u.Plan, u.Changed)
	}
	return b.reconcile(ctx, u.Plan)
}

// reconcile makes sure that nobody else changed our tables, and goes on to the new plan.
func (b *Backend) reconcile(ctx context.Context, p *plan.Plan) (plan.Report, error) {
	generation, err := b.kernel.Generation(ctx)
	if err != nil {
		return plan.Report{}, err
	}
	var report plan.Report
	if generation != b.generation {
		if report, err = b.syncAll(ctx, b.last); err != nil {
			return report, err
		}
		report.Repaired = report.Operations
		if report.Repaired > 0 {
			b.log.Info("undid outside changes of the nftables ruleset", "operations", report.Repaired)
		}
	}
	var next plan.Report
	if sameNode(b.last, p) {
		next, err = b.syncChanged(ctx, p, differing(b.last, p))
	} else {
		next, err = b.syncAll(ctx, p)
	}
	if err == nil {
		err = b.forgetAll(ctx, p)
	}
	next.Operations += report.Operations
	next.Repaired = report.Repaired
	return next, err
}

func sameNode(a, b *plan.Plan) bool { return reflect.DeepEqual(a.Node, b.Node) }

// differing returns the Services that are not the same in two plans.
func differing(a, b *plan.Plan) []model.Ref {
	var changed []model.Ref
	for ref, s := range b.Services.All() {
		if old, _ := a.Services.Get(ref); old != s {
			changed = append(changed, ref)
		}
	}
	for ref := range a.Services.All() {
		if _, kept := b.Services.Get(ref); !kept {
			changed = append(changed, ref)
		}
	}
	return changed
}

// Cleanup removes our tables of both families; it is idempotent.
func (b *Backend) Cleanup(ctx context.Context) error {
	b.last = nil
	var tables []nft.Table
	for _, f := range b.families {
		tables = append(tables, f.table)
	}
	return removeTables(ctx, b.kernel, tables...)
}

// RemoveKubeProxy removes the tables that kube-proxy's nftables mode leaves in the kernel; it is idempotent.
func RemoveKubeProxy(ctx context.Context, kernel Kernel) error {
	const table = "kube-proxy"
	return removeTables(ctx, kernel, nft.Table{Family: nft.IPv4, Name: table}, nft.Table{Family: nft.IPv6, Name: table})
}

func removeTables(ctx context.Context, kernel Kernel, tables ...nft.Table) error {
	for _, t := range tables {
		listing, err := kernel.List(ctx, t)
		if err != nil && !nft.IsUnsupported(err) {
			return err
		}
		if listing == nil {
			continue
		}
		var tx nft.Transaction
		tx.DeleteTable(t)
		if err := kernel.Run(ctx, &tx); err != nil && !nft.IsNotExist(err) {
			return err
		}
	}
	return nil
}
