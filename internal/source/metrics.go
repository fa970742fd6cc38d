package source

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// metrics are those of all kinds.
type metrics struct {
	objects  *prometheus.GaugeVec
	heard    *prometheus.GaugeVec
	reads    *prometheus.CounterVec
	events   *prometheus.CounterVec
	failures *prometheus.CounterVec
}

// newMetrics registers the metrics with r, unless that is nil.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "switchyard", Subsystem: "source", Name: name, Help: help}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "switchyard", Subsystem: "source", Name: name, Help: help}, labels)
	}
	m := &metrics{
		objects:  gauge("objects", "Objects held, by kind.", "kind"),
		heard:    gauge("last_contact_timestamp_seconds", "When the API server was last heard of, by kind; it sends a sign of life each minute.", "kind"),
		reads:    counter("reads_total", "Complete states asked for, by kind and by how (stream or pages).", "kind", "how"),
		events:   counter("events_total", "Watch events received, by kind.", "kind"),
		failures: counter("failures_total", "Interruptions of reading, by kind and by reason.", "kind", "reason"),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.objects, m.heard, m.reads, m.events, m.failures} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

// kindMetrics are those of one kind.
type kindMetrics struct {
	all    *metrics
	kind   string
	held   prometheus.Gauge
	heard  prometheus.Gauge
	events prometheus.Counter
}

func (m *metrics) of(k Kind) kindMetrics {
	kind := string(k)
	return kindMetrics{
		all: m, kind: kind,
		held:   m.objects.WithLabelValues(kind),
		heard:  m.heard.WithLabelValues(kind),
		events: m.events.WithLabelValues(kind),
	}
}

func (m kindMetrics) objects(n int)       { m.held.Set(float64(n)) }
func (m kindMetrics) contact(t time.Time) { m.heard.Set(float64(t.UnixMilli()) / 1000) }
func (m kindMetrics) reads(how string)    { m.all.reads.WithLabelValues(m.kind, how).Inc() }
func (m kindMetrics) event()              { m.events.Inc() }

func (m kindMetrics) failure(err error) {
	m.all.failures.WithLabelValues(m.kind, reason(err)).Inc()
}

// reason returns the metric label of err.
func reason(err error) string {
	switch {
	case errors.Is(err, errEnded):
		return "ended"
	case errors.Is(err, errSilent):
		return "silent"
	case errors.Is(err, errHistory):
		return "history"
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
		return "expired"
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return "forbidden"
	case apierrors.IsNotFound(err):
		return "absent"
	case apierrors.ReasonForError(err) != "":
		return "refused"
	}
	return "unreachable"
}
