package ipvs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// Config says how the backend works; the zero Config is right on a cluster.
type Config struct {
	// Table is the name of our nftables table in both families; empty: DefaultTable.
	Table string
	// Scheduler is the kernel's name of the scheduler of all virtual servers; empty: DefaultScheduler.
	Scheduler string
	// Timeouts are set at the first Sync; those that are 0 stay as they are.
	Timeouts ipvs.Timeouts
	// StrictARP has the node answer ARP for an address only on the interface that has it, and speak in no other's name
	// (net.ipv4.conf.all.arp_ignore 1, arp_announce 2).
	StrictARP bool
	// ExcludeCIDRs are networks in which virtual servers are never touched.
	ExcludeCIDRs []netip.Prefix
}

// The defaults of Config.
const (
	DefaultTable     = "switchyard-ipvs"
	DefaultScheduler = "rr"
)

// Rules is the nf_tables that the backend writes to: an *nft.Conn, or an *nft.Fake.
type Rules interface {
	// Run puts a transaction into force, or changes nothing.
	Run(ctx context.Context, tx *nft.Transaction) error
	// List returns what a table holds without elements, nil if there is no such table.
	List(ctx context.Context, t nft.Table) (*nft.Listing, error)
	// Elements visits the elements of a set, anew after each call of restart.
	Elements(ctx context.Context, t nft.Table, set string, restart func(), visit func(nft.Element)) error
	// Generation returns a number that every transaction of any program increments.
	Generation(ctx context.Context) (uint32, error)
}

// Servers is the IP Virtual Server that the backend writes to: an *ipvs.Conn, or an *ipvs.Fake.
type Servers interface{}

// Routes is where the backend makes its route: a *route.Host.
type Routes interface{}

// Sysctls are the settings of the backend's network namespace: a sysctl.Tree.
type Sysctls interface {
	Int(key string) (int, error)
	SetInt(key string, value int) error
}

// Deps are what the backend works with, all of one network namespace.
type Deps struct {
	Rules   Rules
	Servers Servers
	Routes  Routes
	Sysctls Sysctls
	Log     *slog.Logger
}

// Backend is the proxy.Backend of the ipvs mode.
type Backend struct {
	config Config
	deps   Deps
}

// New returns the backend. It touches nothing before the first Sync.
func New(cfg Config, deps Deps) (*Backend, error) {
	if deps.Rules == nil || deps.Servers == nil || deps.Routes == nil || deps.Sysctls == nil || deps.Log == nil {
		return nil, fmt.Errorf("ipvs backend: all of Deps must be set")
	}
	if cfg.Table == "" {
		cfg.Table = DefaultTable
	}
	if cfg.Scheduler == "" {
		cfg.Scheduler = DefaultScheduler
	}
	return &Backend{config: cfg, deps: deps}, nil
}

var errNotYet = errors.New("the ipvs backend is not built yet")

// Sync makes the kernel equal to u.Plan, as proxy.Backend describes.
func (b *Backend) Sync(context.Context, plan.Update) (plan.Report, error) {
	return plan.Report{}, errNotYet
}

// Cleanup removes all that the backend ever made in the kernel; it is idempotent.
func (b *Backend) Cleanup(context.Context) error { return errNotYet }
