package ingress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Config says what an entry serves.
type Config struct {
	Classes Classes
	// Namespaces selects those whose Ingresses are served, by their labels; nil: all. The source has to read Namespaces for it.
	Namespaces func(model.Labels) bool
	// ConfigMap holds the settings of the entry; zero: none. ConfigMaps and Secrets are read besides.
	ConfigMap           model.Ref
	ConfigMaps, Secrets []model.Ref
	// Pace is the least time between two tables.
	Pace time.Duration
	// Grace is how long the entry goes on as before once it is told to end, so that load balancers can look elsewhere.
	Grace time.Duration
}

// Deps are the parts of an entry.
type Deps struct {
	Source Source
	// Snapshots is a subscription of Source.
	Snapshots Snapshots
	Routes    Routes
	Engine    Engine
	Events    Recorder
	// Status writes the status of Ingresses; nil: nobody does.
	Status Status
	// Lead runs work whenever this process leads; nil: it always does.
	Lead func(ctx context.Context, work func(context.Context) error) error
	Log  *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
	// Settled, if set, is called once, when the first table is in force.
	Settled func()
}

// Source reads the API server: a source.Source.
type Source interface {
	wants
	Run(ctx context.Context) error
	Ready() error
}

// Snapshots are what a Source has read: a source.Subscription.
type Snapshots interface {
	Next(ctx context.Context) (*model.Snapshot, model.Changes, error)
}

// Recorder writes Events: an events.Recorder.
type Recorder interface {
	recorder
	Run(ctx context.Context) error
}

// Status writes the status of Ingresses: a status.Writer.
type Status interface {
	Follow(ours model.Table[model.Ref, *model.Ingress], snap *model.Snapshot, changes model.Changes)
	Run(ctx context.Context) error
	Close(ctx context.Context) error
}

// What Ready reports besides what the source and the engine say.
var (
	// ErrNoTable means that no table is in force yet.
	ErrNoTable = errors.New("the routes are not in force yet")
	// ErrEnding means that the entry was told to end.
	ErrEnding = errors.New("the entry is ending")
)

const (
	// patience is how long the first table waits for Secrets that cannot be read.
	patience = 30 * time.Second
	// retryRefused is when a table that the engine refused is tried again, if nothing changes before.
	retryRefused = 30 * time.Second
	// closeTimeout bounds what is written when the entry ends.
	closeTimeout = 10 * time.Second
)

// Entry is the L7 entry of a cluster. Run is called once; the other methods from any goroutine.
type Entry struct {
	cfg       Config
	deps      Deps
	selection *selection
	reports   *reports
	metrics   *metrics
	ending    atomic.Bool
	// table is the one in force, nil before the first. inForce is closed with the first.
	table   atomic.Pointer[Force]
	inForce chan struct{}
	once    sync.Once
}

// Force is what is in force at one moment.
type Force struct {
	Table *route.Table
	// View is the snapshot that the table is made of.
	View     *model.Snapshot
	Problems []route.Problem
	Since    time.Time
}

// New returns an entry that has done nothing yet.
func New(cfg Config, deps Deps) (*Entry, error) {
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, fmt.Errorf("ingress: register metrics: %w", err)
	}
	references := func(i *model.Ingress) []need { return needsOf(deps.Routes.References(i), deps.Routes.ConfigMaps(i)) }
	return &Entry{
		cfg: cfg, deps: deps, metrics: m, reports: newReports(deps.Events, deps.Log), inForce: make(chan struct{}),
		selection: newSelection(cfg.Classes, cfg.Namespaces, references, deps.Source),
	}, nil
}

// InForce returns what is in force, nil before the first table is.
func (e *Entry) InForce() *Force { return e.table.Load() }

// Ready returns nil while new connections are welcome: the whole table is in force, and the entry is not ending. A stale view of the
// cluster is no reason to turn clients away.
func (e *Entry) Ready() error {
	if e.ending.Load() {
		return ErrEnding
	}
	if e.InForce() == nil {
		return errors.Join(ErrNoTable, e.deps.Source.Ready())
	}
	return e.deps.Engine.Ready()
}

// Run serves until ctx is done. It then goes on for Grace, lets the engine finish what is under way, and returns nil.
func (e *Entry) Run(ctx context.Context) error {
	all, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, work := errgroup.WithContext(all)
	group.Go(func() error { return e.deps.Source.Run(work) })
	group.Go(func() error { return e.deps.Events.Run(work) })
	group.Go(func() error { e.reports.run(work); return nil })
	group.Go(func() error { return e.follow(work) })
	group.Go(func() error {
		defer stop() // everything else ends after the last request
		return e.serve(ctx, work)
	})
	group.Go(func() error { return e.lead(ctx, work) })
	return group.Wait()
}

// serve runs the engine from the first table on, until ctx is done and it has finished.
func (e *Entry) serve(ctx, work context.Context) error {
	select {
	case <-e.inForce:
	case <-ctx.Done():
		e.ending.Store(true)
		return nil
	case <-work.Done():
		return nil
	}
	engine, stop := context.WithCancel(work)
	defer stop()
	defer context.AfterFunc(ctx, func() {
		e.ending.Store(true)
		e.deps.Log.Info("ending", "grace", e.cfg.Grace)
		time.AfterFunc(e.cfg.Grace, stop)
	})()
	return e.deps.Engine.Run(engine)
}

// lead writes statuses and Events whenever this process leads, until ending or work is done.
func (e *Entry) lead(ending, work context.Context) error {
	term, stop := context.WithCancel(work)
	defer stop()
	defer context.AfterFunc(ending, stop)()
	run := func(ctx context.Context) error {
		e.metrics.lead(true)
		e.reports.lead(true)
		defer e.metrics.lead(false)
		defer e.reports.lead(false)
		return e.write(ctx, func() bool { return ending.Err() != nil })
	}
	if e.deps.Lead == nil {
		return run(term)
	}
	return e.deps.Lead(term, run)
}

// write writes the status of Ingresses until ctx is done. Where the entry is ending then, and not only its term, the last word is
// that of Status.Close.
func (e *Entry) write(ctx context.Context, ending func() bool) error {
	if e.deps.Status == nil {
		<-ctx.Done()
		return nil
	}
	if err := e.deps.Status.Run(ctx); err != nil {
		return err
	}
	if !ending() {
		return nil
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := e.deps.Status.Close(closing); err != nil {
		e.deps.Log.Warn("the status of Ingresses is not cleared", "error", err)
	}
	return nil
}
