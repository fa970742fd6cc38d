package quarantine

import "github.com/prometheus/client_golang/prometheus"

// purpose says what a probe is for.
type purpose string

// The purposes.
const (
	forTrial   purpose = "trial"   // of the endpoint that is suspected
	forWitness purpose = "witness" // of another endpoint of its pool
	forLesson  purpose = "lesson"  // of one that answers its clients, to know what a probe then meets
	forReturn  purpose = "return"  // of one that is silent
)

// metrics are what a Watch counts. Their labels take a fixed number of values.
type metrics struct {
	quarantined, silent prometheus.Gauge
	told, sampled       prometheus.Counter
	suspicions          prometheus.Counter
	trials              *prometheus.CounterVec
	probes              *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		m := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "switchyard", Name: name, Help: help})
		registry.MustRegister(m)
		return m
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		m := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "switchyard", Subsystem: "quarantine", Name: name, Help: help}, labels)
		registry.MustRegister(m)
		return m
	}
	counter := func(name, help string) prometheus.Counter { return counters(name, help).WithLabelValues() }
	m := &metrics{
		quarantined: gauge("quarantined_endpoints", "Endpoints that get no new connections from this node, as they do not answer it"),
		silent:      gauge("quarantine_silent_endpoints", "Endpoints that do not answer this node, whether they are taken out or not"),
		told:        counter("connections_total", "Translated connections that the kernel told of"),
		sampled:     counter("samples_total", "Connections that were looked at again, to see whether they are answered"),
		suspicions:  counter("suspicions_total", "Sampled connections that were not answered"),
		trials:      counters("trials_total", "Suspicions that were tried by probes, by verdict", "verdict"),
		probes:      counters("probes_total", "Connections made to endpoints, by purpose and by what they met", "purpose", "outcome"),
	}
	for _, v := range []Verdict{Silent, FalseAlarm, NoWitness, Meaningless, Undecided} {
		m.trials.WithLabelValues(string(v))
	}
	return m
}
