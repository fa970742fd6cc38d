package zone

import (
	"context"
	"hash/maphash"
	"slices"
	"sync/atomic"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Snapshots is a source of snapshots; *source.Subscription is one.
type Snapshots interface {
	// Next waits for a snapshot that differs from the last one, and says in what. The only error is that of ctx.
	Next(ctx context.Context) (*model.Snapshot, model.Changes, error)
}

// Live holds the present table, for any number of Zones. Run must be called once; the other methods may be called at any
// time from any goroutine.
type Live struct {
	table   atomic.Pointer[Table]
	synced  chan struct{} // closed with the first complete snapshot
	config  Config
	builder builder // used by Run alone
}

// Config is for a Live; the zero Config will do.
type Config struct {
	// PodNames orders endpoints by the names of their pods too, for Options.EndpointPodNames.
	PodNames bool
	// Programmed, if set, is called for a slice whose new endpoints are now being answered, with the time since the
	// change that led to them (the annotation endpoints.kubernetes.io/last-change-trigger-time). kind is cluster_ip or
	// headless_with_selector, as in coredns_kubernetes_dns_programming_duration_seconds.
	Programmed func(kind string, since time.Duration)
	// Swapped, if set, is called after each new table.
	Swapped func(*Table)
}

// NewLive returns a Live with an empty table that is not synced.
func NewLive(c Config) *Live {
	l := &Live{config: c, synced: make(chan struct{}), builder: builder{podNames: c.PodNames}}
	l.table.Store(&Table{seed: maphash.MakeSeed()})
	return l
}

// Table returns the present table; it is never nil.
func (l *Live) Table() *Table { return l.table.Load() }

// Synced returns a channel that is closed once there was a complete snapshot.
func (l *Live) Synced() <-chan struct{} { return l.synced }

// Run follows s until ctx is done, and returns nil then.
func (l *Live) Run(ctx context.Context, s Snapshots) error {
	for {
		snap, changes, err := s.Next(ctx)
		if err != nil {
			return nil
		}
		l.apply(snap, changes)
	}
}

// apply puts the table for a snapshot in force.
func (l *Live) apply(snap *model.Snapshot, changes model.Changes) {
	before := l.Table()
	next := l.builder.update(before, snap, changes, time.Now())
	l.table.Store(next)
	if !before.synced {
		close(l.synced)
	}
	if l.config.Programmed != nil && !changes.All {
		for ref := range changes.Services {
			l.programmed(before, next, ref)
		}
	}
	if l.config.Swapped != nil {
		l.config.Swapped(next)
	}
}

// programmed reports the slices of a Service that came with a new stamp.
func (l *Live) programmed(before, next *Table, ref model.Ref) {
	key := appendKey(nil, ref)
	e, old := next.entry(key), before.entry(key)
	if e == nil || e.service == nil {
		return
	}
	kind := "cluster_ip"
	if e.service.Headless {
		kind = "headless_with_selector"
	}
	for _, s := range e.slices {
		known := old != nil && slices.ContainsFunc(old.slices, func(o *model.EndpointSlice) bool {
			return o == s || o.Ref == s.Ref && o.TriggerTime.Equal(s.TriggerTime)
		})
		if !known && !s.TriggerTime.IsZero() {
			l.config.Programmed(kind, next.built.Sub(s.TriggerTime))
		}
	}
}
