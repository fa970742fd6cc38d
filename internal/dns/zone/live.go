package zone

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Snapshots is a source of snapshots; *source.Subscription is one.
type Snapshots interface {
	// Next waits for a snapshot that differs from the last one, and says in what. The only error is that of ctx.
	Next(ctx context.Context) (*model.Snapshot, model.Changes, error)
}

// Table is the facts at one moment. It is immutable.
type Table struct {
	version uint64
	serial  uint32
	built   time.Time
	synced  bool
}

// Synced is false until there was a first complete snapshot; the table is then empty.
func (t *Table) Synced() bool { return t.synced }

// Version is the snapshot's: the generation of the table, 0 before the first.
func (t *Table) Version() uint64 { return t.version }

// Serial is the serial number of the zones' SOA: the time of the last change, in Unix seconds, or more where changes
// follow each other in less than a second.
func (t *Table) Serial() uint32 { return t.serial }

// Built is when the table was made, the zero time before the first.
func (t *Table) Built() time.Time { return t.built }

// Live holds the present table, for any number of Zones. Run must be called once; the other methods may be called at any time
// from any goroutine.
type Live struct {
	table atomic.Pointer[Table]
	hooks Hooks
}

// Hooks tell about the life of the table; each may be nil.
type Hooks struct {
	// Programmed is called for a Service whose new endpoints are now being answered, with the time since the change
	// that led to them (the annotation endpoints.kubernetes.io/last-change-trigger-time); kind is cluster_ip or
	// headless_with_selector, as in coredns_kubernetes_dns_programming_duration_seconds.
	Programmed func(kind string, since time.Duration)
	// Swapped is called after each new table.
	Swapped func(*Table)
}

// NewLive returns a Live with an empty table that is not synced.
func NewLive(h Hooks) *Live {
	l := &Live{hooks: h}
	l.table.Store(&Table{})
	return l
}

// Table returns the present table; it is never nil.
func (l *Live) Table() *Table { return l.table.Load() }

// Run follows s until ctx is done, and returns nil then.
func (l *Live) Run(ctx context.Context, s Snapshots) error {
	<-ctx.Done()
	return nil
}
