package ingress

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

// metrics are those of the entry as a whole; engines have their own. Names of ingress-nginx's have its meaning, a table in force
// being its reload.
type metrics struct {
	tables, refused      prometheus.Counter
	lastGood, lastGoodAt prometheus.Gauge
	build, apply         prometheus.Histogram
	ingresses, waiting   prometheus.Gauge
	problems             *prometheus.GaugeVec
	leading              prometheus.Gauge
}

// newMetrics registers the metrics with r, unless that is nil.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	seconds := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)})
	}
	m := &metrics{
		tables:     counter("nginx_ingress_controller_success", "Route tables put in force."),
		refused:    counter("nginx_ingress_controller_errors", "Route tables that the engine refused; the one before stays in force."),
		lastGood:   gauge("nginx_ingress_controller_config_last_reload_successful", "Whether the last route table was put in force."),
		lastGoodAt: gauge("nginx_ingress_controller_config_last_reload_successful_timestamp_seconds", "When the last route table was put in force."),
		build:      seconds("switchyard_ingress_table_build_seconds", "Time to make a route table of a snapshot."),
		apply:      seconds("switchyard_ingress_table_apply_seconds", "Time to put a route table in force."),
		ingresses:  gauge("switchyard_ingress_ingresses", "Ingresses that are ours."),
		waiting:    gauge("switchyard_ingress_waiting", "Ingresses that wait for a Secret to be read."),
		problems: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchyard_ingress_problems", Help: "What is not honoured of Ingresses and what they refer to, by reason.",
		}, []string{"reason"}),
		leading: gauge("switchyard_ingress_leader", "Whether this process writes statuses and Events."),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.tables, m.refused, m.lastGood, m.lastGoodAt, m.build, m.apply, m.ingresses, m.waiting, m.problems, m.leading,
	} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) applied(now time.Time, problems []route.Problem) {
	m.tables.Inc()
	m.lastGood.Set(1)
	m.lastGoodAt.Set(float64(now.UnixMilli()) / 1000)
	m.problems.Reset()
	for _, p := range problems {
		m.problems.WithLabelValues(p.Reason).Inc()
	}
}

func (m *metrics) lead(leading bool) {
	m.leading.Set(0)
	if leading {
		m.leading.Set(1)
	}
}
