package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// Metrics are the measurements of a node's Service proxy. Those named kubeproxy_… mean what kube-proxy means by them
// (k8s.io/kubernetes/pkg/proxy/metrics); those named switchyard_… are our own.
type Metrics struct {
	syncDuration, fullDuration, partialDuration *prometheus.HistogramVec
	programming                                 *prometheus.HistogramVec
	lastSync, lastQueued                        *prometheus.GaugeVec
	endpointsPending, servicesPending           prometheus.Gauge
	endpointsTotal, servicesTotal               prometheus.Counter
	noLocal                                     *prometheus.GaugeVec
	syncFailures                                *prometheus.CounterVec
	conntrackDuration                           *prometheus.HistogramVec
	conntrackDeleted                            *prometheus.CounterVec
	healthz, livez                              *prometheus.CounterVec

	desired, applied prometheus.Gauge
	operations       prometheus.Counter
	repaired         prometheus.Counter
	unsupported      *prometheus.GaugeVec
	problems         prometheus.Gauge
	rules, chains    *prometheus.GaugeVec
	// iptablesRules is kube-proxy's name of rules in iptables mode; nil in others.
	iptablesRules *prometheus.GaugeVec
}

// familyLabel is the label of what kube-proxy, with one proxier a family, measures for each of them.
const familyLabel = "ip_family"

// tableLabel is the label of what is measured of each of the kernel's tables.
const tableLabel = "table"

// NewMetrics returns the metrics, registered. mode is the proxy mode, part of some of kube-proxy's names.
func NewMetrics(registry prometheus.Registerer, mode string) *Metrics {
	d := definer{registry}
	syncs := prometheus.ExponentialBuckets(0.001, 2, 15)
	m := &Metrics{
		syncDuration:      d.histogram("sync_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds", syncs),
		fullDuration:      d.histogram("sync_full_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds for full resyncs", syncs),
		partialDuration:   d.histogram("sync_partial_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds for partial resyncs", syncs),
		programming:       d.histogram("network_programming_duration_seconds", "In Cluster Network Programming Latency in seconds", programmingBuckets()),
		lastSync:          d.gauges("kubeproxy", "sync_proxy_rules_last_timestamp_seconds", "The last time proxy rules were successfully synced", familyLabel),
		lastQueued:        d.gauges("kubeproxy", "sync_proxy_rules_last_queued_timestamp_seconds", "The last time a sync of proxy rules was queued", familyLabel),
		endpointsPending:  d.gauge("kubeproxy", "sync_proxy_rules_endpoint_changes_pending", "Pending proxy rules Endpoint changes"),
		servicesPending:   d.gauge("kubeproxy", "sync_proxy_rules_service_changes_pending", "Pending proxy rules Service changes"),
		endpointsTotal:    d.counter("kubeproxy", "sync_proxy_rules_endpoint_changes_total", "Cumulative proxy rules Endpoint changes"),
		servicesTotal:     d.counter("kubeproxy", "sync_proxy_rules_service_changes_total", "Cumulative proxy rules Service changes"),
		noLocal:           d.gauges("kubeproxy", "sync_proxy_rules_no_local_endpoints_total", "Number of services with a Local traffic policy and no endpoints", "traffic_policy", familyLabel),
		syncFailures:      d.counters(syncFailuresName(mode), "Cumulative proxy "+mode+" sync failures", familyLabel),
		conntrackDuration: d.histogram("conntrack_reconciler_sync_duration_seconds", "ReconcileConntrackFlowsLatency latency in seconds", syncs),
		conntrackDeleted:  d.counters("conntrack_reconciler_deleted_entries_total", "Cumulative conntrack flows deleted by conntrack reconciler", familyLabel),
		healthz:           d.counters("proxy_healthz_total", "Cumulative proxy healthz HTTP status", "code"),
		livez:             d.counters("proxy_livez_total", "Cumulative proxy livez HTTP status", "code"),

		desired:     d.gauge("switchyard", "proxy_desired_generation", "Version of the newest snapshot of the API's objects that was planned for"),
		applied:     d.gauge("switchyard", "proxy_applied_generation", "Version of the snapshot that the kernel's rules are equal to"),
		operations:  d.counter("switchyard", "proxy_kernel_operations_total", "Elements, rules, chains and the like that were added or deleted"),
		repaired:    d.counter("switchyard", "proxy_repaired_total", "Kernel operations that undid what others had changed"),
		unsupported: d.gauges("switchyard", "proxy_unsupported", "1 for what the plan asks for and this node's kernel or proxy mode cannot do", "capability"),
		problems:    d.gauge("switchyard", "proxy_services_with_problems", "Services of which a part cannot be honoured; see their Events"),
		rules:       d.gauges("switchyard", "proxy_rules", "Rules that the proxy keeps in a table of the kernel", tableLabel, familyLabel),
		chains:      d.gauges("switchyard", "proxy_chains", "Chains that the proxy keeps in a table of the kernel", tableLabel, familyLabel),
	}
	if mode == "iptables" {
		m.iptablesRules = d.gauges("kubeproxy", "sync_proxy_rules_iptables_total", "Total number of iptables rules owned by kube-proxy", tableLabel, familyLabel)
	}
	return m
}

// syncFailuresName is kube-proxy's name of failed syncs, which in iptables mode are failed runs of iptables-restore.
func syncFailuresName(mode string) string {
	if mode == "iptables" {
		return "sync_proxy_rules_iptables_restore_failures_total"
	}
	return "sync_proxy_rules_" + mode + "_sync_failures_total"
}

// programmingBuckets are those of kube-proxy: 0.25 s apart, then 1 s to a minute, 5 s to two, 30 s to five.
func programmingBuckets() []float64 {
	var all []float64
	for _, part := range [][]float64{
		prometheus.LinearBuckets(0.25, 0.25, 2), prometheus.LinearBuckets(1, 1, 59),
		prometheus.LinearBuckets(60, 5, 12), prometheus.LinearBuckets(120, 30, 7),
	} {
		all = append(all, part...)
	}
	return all
}

// definer makes metrics and registers them.
type definer struct{ registry prometheus.Registerer }

func (d definer) histogram(name, help string, buckets []float64) *prometheus.HistogramVec {
	opts := prometheus.HistogramOpts{Subsystem: "kubeproxy", Name: name, Help: help, Buckets: buckets}
	m := prometheus.NewHistogramVec(opts, []string{familyLabel})
	d.registry.MustRegister(m)
	return m
}

func (d definer) gauges(subsystem, name, help string, labels ...string) *prometheus.GaugeVec {
	m := prometheus.NewGaugeVec(prometheus.GaugeOpts{Subsystem: subsystem, Name: name, Help: help}, labels)
	d.registry.MustRegister(m)
	return m
}

func (d definer) gauge(subsystem, name, help string) prometheus.Gauge {
	m := prometheus.NewGauge(prometheus.GaugeOpts{Subsystem: subsystem, Name: name, Help: help})
	d.registry.MustRegister(m)
	return m
}

func (d definer) counters(name, help string, labels ...string) *prometheus.CounterVec {
	m := prometheus.NewCounterVec(prometheus.CounterOpts{Subsystem: "kubeproxy", Name: name, Help: help}, labels)
	d.registry.MustRegister(m)
	return m
}

func (d definer) counter(subsystem, name, help string) prometheus.Counter {
	m := prometheus.NewCounter(prometheus.CounterOpts{Subsystem: subsystem, Name: name, Help: help})
	d.registry.MustRegister(m)
	return m
}

// synced records a successful sync of all families, which are one transaction here.
func (m *Metrics) synced(families []model.Family, full bool, took time.Duration, now time.Time) {
	for _, f := range families {
		m.syncDuration.WithLabelValues(f.String()).Observe(took.Seconds())
		if full {
			m.fullDuration.WithLabelValues(f.String()).Observe(took.Seconds())
		} else {
			m.partialDuration.WithLabelValues(f.String()).Observe(took.Seconds())
		}
		m.lastSync.WithLabelValues(f.String()).Set(unixSeconds(now))
	}
}

// counted records how much a backend keeps in the kernel.
func (m *Metrics) counted(rulesets []plan.Ruleset) {
	for _, r := range rulesets {
		m.rules.WithLabelValues(r.Table, r.Family.String()).Set(float64(r.Rules))
		m.chains.WithLabelValues(r.Table, r.Family.String()).Set(float64(r.Chains))
		if m.iptablesRules != nil {
			m.iptablesRules.WithLabelValues(r.Table, r.Family.String()).Set(float64(r.Rules))
		}
	}
}

func (m *Metrics) queued(families []model.Family, now time.Time) {
	for _, f := range families {
		m.lastQueued.WithLabelValues(f.String()).Set(unixSeconds(now))
	}
}

func (m *Metrics) failed(families []model.Family) {
	for _, f := range families {
		m.syncFailures.WithLabelValues(f.String()).Inc()
	}
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
