package endpoints

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-base/metrics"
	slicemetrics "k8s.io/endpointslice/metrics"
)

// registerSliceMetrics registers the endpoint_slice_controller_* metrics of k8s.io/endpointslice. They are variables of
// that package, created on their first registration with a registry of component-base; a throw-away one does.
func registerSliceMetrics(reg prometheus.Registerer) error {
	upstream := []metrics.Registerable{
		slicemetrics.EndpointsAddedPerSync,
		slicemetrics.EndpointsRemovedPerSync,
		slicemetrics.EndpointsDesired,
		slicemetrics.NumEndpointSlices,
		slicemetrics.DesiredEndpointSlices,
		slicemetrics.EndpointSliceChanges,
		slicemetrics.EndpointSlicesChangedPerSync,
		slicemetrics.EndpointSliceSyncs,
		slicemetrics.ServicesCountByTrafficDistribution,
	}
	create := metrics.NewKubeRegistry()
	for _, metric := range upstream {
		if err := create.Register(metric); err != nil {
			return fmt.Errorf("create metric %s: %w", metric.FQName(), err)
		}
		if _, err := register[prometheus.Collector](reg, metric); err != nil {
			return err
		}
	}
	return nil
}

// register adds a collector to the registry and returns it, or the equal one that is there already: other controllers
// of the process may share metrics such as workqueue_*.
func register[C prometheus.Collector](reg prometheus.Registerer, collector C) (C, error) {
	err := reg.Register(collector)
	if err == nil {
		return collector, nil
	}
	var known prometheus.AlreadyRegisteredError
	if errors.As(err, &known) {
		if there, ok := known.ExistingCollector.(C); ok {
			return there, nil
		}
	}
	return collector, fmt.Errorf("register metrics of the endpoints controllers: %w", err)
}

// registrar collects the errors of many registrations.
type registrar struct {
	reg  prometheus.Registerer
	errs []error
}

func (r *registrar) gauge(opts prometheus.GaugeOpts, labels ...string) *prometheus.GaugeVec {
	c, err := register(r.reg, prometheus.NewGaugeVec(opts, labels))
	r.errs = append(r.errs, err)
	return c
}

func (r *registrar) counter(opts prometheus.CounterOpts, labels ...string) *prometheus.CounterVec {
	c, err := register(r.reg, prometheus.NewCounterVec(opts, labels))
	r.errs = append(r.errs, err)
	return c
}

func (r *registrar) histogram(opts prometheus.HistogramOpts, labels ...string) *prometheus.HistogramVec {
	c, err := register(r.reg, prometheus.NewHistogramVec(opts, labels))
	r.errs = append(r.errs, err)
	return c
}

// queueMetrics gives the controllers' queues the workqueue_* metrics of Kubernetes components, labelled by queue
// (endpoint_slice, endpoint, endpoint_slice_mirroring).
type queueMetrics struct {
	depth, unfinished, longest *prometheus.GaugeVec
	adds, retries              *prometheus.CounterVec
	waiting, working           *prometheus.HistogramVec
}

func newQueueMetrics(reg prometheus.Registerer) (*queueMetrics, error) {
	r := &registrar{reg: reg}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return r.gauge(prometheus.GaugeOpts{Subsystem: "workqueue", Name: name, Help: help}, "name")
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return r.counter(prometheus.CounterOpts{Subsystem: "workqueue", Name: name, Help: help}, "name")
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return r.histogram(prometheus.HistogramOpts{
			Subsystem: "workqueue", Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(1e-8, 10, 10),
		}, "name")
	}
	m := &queueMetrics{
		depth:      gauge("depth", "Current depth of workqueue"),
		unfinished: gauge("unfinished_work_seconds", "Seconds of work in progress that work_duration has not observed yet"),
		longest:    gauge("longest_running_processor_seconds", "Seconds that the longest running worker has been running"),
		adds:       counter("adds_total", "Total number of adds handled by workqueue"),
		retries:    counter("retries_total", "Total number of retries handled by workqueue"),
		waiting:    histogram("queue_duration_seconds", "Seconds an item stays in workqueue before being requested"),
		working:    histogram("work_duration_seconds", "Seconds processing an item from workqueue takes"),
	}
	return m, errors.Join(r.errs...)
}

var _ workqueue.MetricsProvider = (*queueMetrics)(nil)

// NewDepthMetric implements workqueue.MetricsProvider, as do the methods below.
func (m *queueMetrics) NewDepthMetric(name string) workqueue.GaugeMetric {
	return m.depth.WithLabelValues(name)
}

// NewAddsMetric counts keys added.
func (m *queueMetrics) NewAddsMetric(name string) workqueue.CounterMetric {
	return m.adds.WithLabelValues(name)
}

// NewLatencyMetric observes how long keys wait.
func (m *queueMetrics) NewLatencyMetric(name string) workqueue.HistogramMetric {
	return m.waiting.WithLabelValues(name)
}

// NewWorkDurationMetric observes how long syncs take.
func (m *queueMetrics) NewWorkDurationMetric(name string) workqueue.HistogramMetric {
	return m.working.WithLabelValues(name)
}

// NewUnfinishedWorkSecondsMetric shows the age of syncs under way.
func (m *queueMetrics) NewUnfinishedWorkSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return m.unfinished.WithLabelValues(name)
}

// NewLongestRunningProcessorSecondsMetric shows the age of the oldest sync under way.
func (m *queueMetrics) NewLongestRunningProcessorSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return m.longest.WithLabelValues(name)
}

// NewRetriesMetric counts retries.
func (m *queueMetrics) NewRetriesMetric(name string) workqueue.CounterMetric {
	return m.retries.WithLabelValues(name)
}
