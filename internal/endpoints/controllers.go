package endpoints

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
)

// Sources of the controllers' Events, upstream's.
const (
	slicesEventSource    = "endpoint-slice-controller"
	endpointsEventSource = "endpoint-controller"
	mirroringEventSource = "endpoint-slice-mirroring-controller"
)

// Deps is what the controllers need from outside. Client and Log are required.
type Deps struct {
	// Client reads and writes the cluster. Its own rate limit bounds how fast endpoints are written.
	Client kubernetes.Interface
	// Log gets state changes at Info, skips and retries at Debug.
	Log *slog.Logger
	// Registerer gets the metrics; nil: none are served.
	Registerer prometheus.Registerer
	// Events gets the Events; nil: they are written to the cluster while the controllers run. The caller of a
	// broadcaster of its own also starts and stops that.
	Events record.EventBroadcaster
}

// Controllers is the three endpoints controllers over one set of watches.
type Controllers struct {
	cfg       Config
	deps      Deps
	queues    *queueMetrics
	mirroring *mirrorMetrics
	running   atomic.Bool
	// current is the run under way, nil if none.
	current atomic.Pointer[session]
}

// ErrNotRunning is what Ready returns while the controllers do not run: before Run, after it, or on a standby.
var ErrNotRunning = errors.New("the endpoints controllers are not running")

// New returns controllers that Run starts. It reads and writes nothing but the metrics registry.
func New(cfg Config, deps Deps) (*Controllers, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure the endpoints controllers: %w", err)
	}
	if deps.Client == nil || deps.Log == nil {
		return nil, errors.New("configure the endpoints controllers: Deps.Client and Deps.Log must be set")
	}
	if deps.Registerer == nil {
		deps.Registerer = prometheus.NewRegistry()
	}
	if err := registerSliceMetrics(deps.Registerer); err != nil {
		return nil, err
	}
	queues, err := newQueueMetrics(deps.Registerer)
	if err != nil {
		return nil, err
	}
	mirroring, err := newMirrorMetrics(deps.Registerer)
	if err != nil {
		return nil, err
	}
	return &Controllers{cfg: cfg, deps: deps, queues: queues, mirroring: mirroring}, nil
}

// Run runs the three controllers until ctx ends; it returns once none of their writes is under way, so that another
// process may take over. After it returned it may be called again: nothing is carried over. Never run it on two
// processes at once: they would fight over the same objects (package election elects one).
func (c *Controllers) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("run the endpoints controllers: they are running already")
	}
	defer c.running.Store(false)
	logger := logr.FromSlogHandler(c.deps.Log.Handler())
	ctx = klog.NewContext(ctx, logger)
	events, stopEvents := c.events(ctx)
	defer stopEvents()
	s, err := newSession(ctx, c, events)
	if err != nil {
		return err
	}
	c.current.Store(s)
	defer c.current.Store(nil)
	s.run(ctx)
	return nil
}

// Ready returns nil once every watch has delivered what was there at the start, and the controllers act on it.
func (c *Controllers) Ready() error {
	s := c.current.Load()
	if s == nil {
		return ErrNotRunning
	}
	return s.ready()
}

// events returns the broadcaster to use and what stops it.
func (c *Controllers) events(ctx context.Context) (record.EventBroadcaster, func()) {
	if c.deps.Events != nil {
		return c.deps.Events, func() {}
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: c.deps.Client.CoreV1().Events("")})
	return broadcaster, broadcaster.Shutdown
}

// session is one run: the watches, the index and the three controllers that read them.
type session struct {
	log       *slog.Logger
	watches   *watches
	members   *membership
	slices    *slicesController
	endpoints *endpointsController
	mirroring *mirroringController
}

func newSession(ctx context.Context, c *Controllers, events record.EventBroadcaster) (*session, error) {
	recorder := func(component string) record.EventRecorder {
		return events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: component})
	}
	s := &session{log: c.deps.Log, members: newMembership()}
	s.watches = newWatches(c.deps.Client, c.cfg.Resync)
	s.slices = newSlicesController(ctx, c, s, recorder(slicesEventSource))
	s.endpoints = newEndpointsController(c, s, recorder(endpointsEventSource))
	s.mirroring = newMirroringController(ctx, c, s, recorder(mirroringEventSource))
	if err := s.watches.connect(s); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *session) run(ctx context.Context) {
	s.log.Info("endpoints controllers: reading the cluster")
	defer s.log.Info("endpoints controllers: stopped")
	s.watches.start(ctx)
	defer s.watches.stop()
	if !s.watches.wait(ctx) {
		return
	}
	s.log.Info("endpoints controllers: running")
	var loops sync.WaitGroup
	loops.Go(func() { s.slices.run(ctx) })
	loops.Go(func() { s.endpoints.run(ctx) })
	loops.Go(func() { s.mirroring.run(ctx) })
	loops.Wait()
}

func (s *session) ready() error {
	if waiting := s.watches.waiting(); len(waiting) > 0 {
		return fmt.Errorf("the endpoints controllers still wait for the first list of %v", waiting)
	}
	return nil
}
