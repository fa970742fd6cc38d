package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// closeTimeout bounds how long the last spans may take to be sent.
const closeTimeout = 3 * time.Second

// scope is the name of the spans' instrumentation.
const scope = "github.com/switchyard-net/switchyard/internal/ingress/trace"

// Tracer makes the spans of an entry. Its methods may be called by any goroutine, and do not wait but for Close.
type Tracer struct {
	config settings.Tracing
	log    *slog.Logger
	made   atomic.Pointer[api.Tracer] // nil: no span was asked for yet

	mu       sync.Mutex
	closed   bool                // guarded by mu
	provider *sdk.TracerProvider // guarded by mu; nil: there is none
}

// New returns a tracer that sends to the collector of c; nil where c has none. Nothing runs before the first span.
func New(c settings.Tracing, log *slog.Logger) *Tracer {
	if c.Host == "" {
		return nil
	}
	return &Tracer{config: c, log: log}
}

// tracer returns that of the SDK, and starts it.
func (t *Tracer) tracer() api.Tracer {
	if made := t.made.Load(); made != nil {
		return *made
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if made := t.made.Load(); made != nil {
		return *made
	}
	made := noop.NewTracerProvider().Tracer(scope)
	if !t.closed {
		if err := t.start(); err != nil {
			t.log.Error("no request is traced", "error", err)
		} else {
			made = t.provider.Tracer(scope)
		}
	}
	t.made.Store(&made)
	return made
}

// start makes the provider; t.mu is held.
func (t *Tracer) start() error {
	c := &t.config
	at := net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
	client, err := otlptracegrpc.New(context.Background(), otlptracegrpc.WithEndpoint(at), otlptracegrpc.WithInsecure())
	if err != nil {
		return fmt.Errorf("send spans to otlp-collector-host %s: %w", at, err)
	}
	t.provider = sdk.NewTracerProvider(
		sdk.WithSampler(sampler(c)),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", c.Service))),
		sdk.WithBatcher(&reporting{SpanExporter: client, log: t.log.With("collector", at)},
			sdk.WithMaxQueueSize(c.Queue), sdk.WithMaxExportBatchSize(c.Batch), sdk.WithBatchTimeout(c.Delay)),
	)
	return nil
}

// sampler returns that of the settings.
func sampler(c *settings.Tracing) sdk.Sampler {
	s := sdk.AlwaysSample()
	switch c.Sampler {
	case settings.SampleNone:
		s = sdk.NeverSample()
	case settings.SampleRatio:
		s = sdk.TraceIDRatioBased(c.Ratio)
	}
	if c.ParentBased {
		s = sdk.ParentBased(s)
	}
	return s
}

// Close sends what is queued, for some seconds at most; spans that end later are lost. It is for a nil Tracer too.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.closed = true
	provider := t.provider
	t.mu.Unlock()
	if provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last spans were not sent", "error", err)
	}
}

// reporting is an exporter that tells once of a collector that takes no spans, and once when it does again.
type reporting struct {
	sdk.SpanExporter
	log     *slog.Logger
	failing atomic.Bool
}

// ExportSpans sends spans. It never fails, as the SDK could only write the error to standard error.
func (r *reporting) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err == nil && r.failing.Swap(false):
		r.log.Info("spans are sent again")
	case err != nil && !errors.Is(err, context.Canceled) && !r.failing.Swap(true):
		r.log.Warn("spans are lost: the collector does not take them", "error", err)
	}
	return nil
}
