package proxy

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// Config is how a Syncer works. NewSyncer fills in the defaults of zero fields.
type Config struct {
	// NodeName is the name of this node's Node object.
	NodeName string
	// Families are those that the node has; default: both.
	Families []model.Family
	// MinSyncPeriod is the least time between the starts of two syncs, default 10 ms. A change after a quiet period is
	// applied at once; those that follow within the period are applied together at its end.
	MinSyncPeriod time.Duration
	// SyncPeriod is how often a backend that is no Inspector is compared with the kernel in full, and how long a change
	// may take before the proxy counts as unhealthy: twice this. Default 30 s.
	SyncPeriod time.Duration
	// FullSyncPeriod is how often a backend that is an Inspector is compared with the kernel in full. Default 1 h.
	FullSyncPeriod time.Duration
}

func (c Config) withDefaults() Config {
	if len(c.Families) == 0 {
		c.Families = []model.Family{model.IPv4, model.IPv6}
	}
	if c.MinSyncPeriod <= 0 {
		c.MinSyncPeriod = 10 * time.Millisecond
	}
	if c.FullSyncPeriod <= 0 {
		c.FullSyncPeriod = time.Hour
	}
	c.SyncPeriod = SyncPeriodOf(c.SyncPeriod)
	return c
}

// SyncPeriodOf returns a configured SyncPeriod, or the default in its place.
func SyncPeriodOf(configured time.Duration) time.Duration {
	if configured > 0 {
		return configured
	}
	return 30 * time.Second
}

// Subscription is where snapshots come from; source.Subscription is one.
type Subscription interface {
	// Next waits for a change and returns the present snapshot and all that changed since the one before. The first
	// call waits until the caches have synced. The only error is that of ctx.
	Next(ctx context.Context) (*model.Snapshot, model.Changes, error)
}

// Planner turns snapshots into plans; plan.Planner is one.
type Planner interface {
	Apply(snap *model.Snapshot, ch model.Changes) (p *plan.Plan, changed []model.Ref, full bool)
	SetAddrs(addrs []netip.Addr)
	SetSilent(silent plan.Silence)
}

// Conntrack is the kernel's connection tracking table; conntrack.Table is one.
type Conntrack interface {
	UDPFlows(family model.Family, keep func(conntrack.Flow) bool) ([]conntrack.Flow, error)
	Delete(flows []conntrack.Flow) (int, error)
}

// Quarantine finds endpoints that do not answer this node; quarantine.Watch is one.
type Quarantine interface {
	// Applied says what the kernel has from now on, and for which state of the cluster. It does not block.
	Applied(p *plan.Plan, snapshot *model.Snapshot)
	// Silent carries all endpoints that do not answer, each time that they change.
	Silent() <-chan plan.Silence
}

// Events tells users about their objects; events.Recorder is one.
type Events interface {
	// ServiceWarning records a Warning on a Service.
	ServiceWarning(service *model.Service, reason, message string)
	// NodeWarning records a Warning on this node.
	NodeWarning(reason, message string)
}

// Deps are what a Syncer works with.
type Deps struct {
	Subscription Subscription
	Planner      Planner
	Backend      Backend
	// Conntrack may be nil: stale UDP flows are then left to expire.
	Conntrack Conntrack
	// Quarantine may be nil: endpoints that stop answering then keep their share of connections.
	Quarantine Quarantine
	Events     Events
	Health     *Health
	Metrics    *Metrics
	Log        *slog.Logger
	// Check, if set, is called with the first snapshot, before anything is programmed; its error ends Run.
	Check func(*model.Snapshot) error
	// Settled, if set, is called once, on a goroutine of its own, when the kernel is equal to the plan for the first
	// time: now the rules of a proxy before us can go without a gap.
	Settled func(context.Context)
	// Addrs, if set, carries the node's own addresses each time they change.
	Addrs <-chan []netip.Addr
}
