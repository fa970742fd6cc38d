package endpoints

import (
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// mirrorMetrics is the endpoint_slice_mirroring_controller_* metrics, under the names and with the buckets of
// kube-controller-manager (pkg/controller/endpointslicemirroring/metrics).
type mirrorMetrics struct {
	added, updated, removed, skipped, duration *prometheus.HistogramVec
	endpoints, slices, ideal                   *prometheus.GaugeVec
	changes                                    *prometheus.CounterVec
}

func newMirrorMetrics(reg prometheus.Registerer) (*mirrorMetrics, error) {
	const subsystem = "endpoint_slice_mirroring_controller"
	r := &registrar{reg: reg}
	perSync := func(name, help string) *prometheus.HistogramVec {
		return r.histogram(prometheus.HistogramOpts{
			Subsystem: subsystem, Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(2, 2, 15),
		})
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return r.gauge(prometheus.GaugeOpts{Subsystem: subsystem, Name: name, Help: help})
	}
	m := &mirrorMetrics{
		added:   perSync("endpoints_added_per_sync", "Number of endpoints added on each Endpoints sync"),
		updated: perSync("endpoints_updated_per_sync", "Number of endpoints updated on each Endpoints sync"),
		removed: perSync("endpoints_removed_per_sync", "Number of endpoints removed on each Endpoints sync"),
		skipped: perSync("addresses_skipped_per_sync",
			"Number of addresses skipped on each Endpoints sync due to being invalid or exceeding MaxEndpointsPerSubset"),
		duration: r.histogram(prometheus.HistogramOpts{
			Subsystem: subsystem, Name: "endpoints_sync_duration", Help: "Duration of syncEndpoints() in seconds",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
		endpoints: gauge("endpoints_desired", "Number of endpoints desired"),
		slices:    gauge("num_endpoint_slices", "Number of EndpointSlices"),
		ideal: gauge("desired_endpoint_slices",
			"Number of EndpointSlices that would exist with perfect endpoint allocation"),
		changes: r.counter(prometheus.CounterOpts{
			Subsystem: subsystem, Name: "changes", Help: "Number of EndpointSlice changes",
		}, "operation"),
	}
	return m, errors.Join(r.errs...)
}

func (m *mirrorMetrics) observe(counts endpointCounts) {
	m.added.WithLabelValues().Observe(float64(counts.added))
	m.updated.WithLabelValues().Observe(float64(counts.updated))
	m.removed.WithLabelValues().Observe(float64(counts.removed))
}

// portTally is how many endpoints and slices one set of ports has.
type portTally struct{ endpoints, slices int }

// mirrorTotals keeps the sums behind the gauges, so that a sync adds its difference and sums nothing anew. Safe for
// concurrent use.
type mirrorTotals struct {
	metrics *mirrorMetrics
	max     int

	mu   sync.Mutex
	each map[string]mirrorSum // by key of the Endpoints; guarded by mu, as is sum
	sum  mirrorSum
}

type mirrorSum struct{ endpoints, slices, ideal int }

func newMirrorTotals(metrics *mirrorMetrics, limit int) *mirrorTotals {
	t := &mirrorTotals{metrics: metrics, max: limit, each: map[string]mirrorSum{}}
	t.change(mirrorSum{}, mirrorSum{})
	return t
}

// set replaces what is counted for one Endpoints object.
func (t *mirrorTotals) set(key string, tally map[mirrorKey]portTally) {
	var now mirrorSum
	for _, part := range tally {
		now.endpoints += part.endpoints
		now.slices += part.slices
		now.ideal += (part.endpoints + t.max - 1) / t.max
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change(t.each[key], now)
	t.each[key] = now
}

// forget counts one Endpoints object no more.
func (t *mirrorTotals) forget(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change(t.each[key], mirrorSum{})
	delete(t.each, key)
}

// change moves the sums from one tally to another, and the gauges to the sums. The caller holds mu.
func (t *mirrorTotals) change(from, to mirrorSum) {
	t.sum.endpoints += to.endpoints - from.endpoints
	t.sum.slices += to.slices - from.slices
	t.sum.ideal += to.ideal - from.ideal
	t.metrics.endpoints.WithLabelValues().Set(float64(t.sum.endpoints))
	t.metrics.slices.WithLabelValues().Set(float64(t.sum.slices))
	t.metrics.ideal.WithLabelValues().Set(float64(t.sum.ideal))
}
