package server

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	corednsplugin "github.com/coredns/coredns/plugin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/dns/fastpath"
	"github.com/switchyard-net/switchyard/internal/dns/plugin"
)

// process is what CoreDNS keeps per process rather than per server, and what we have to keep beside it: its metrics are in
// the default registry of Prometheus, and counters do not begin anew with each Corefile.
type process struct {
	reloadFailed prometheus.Counter
	reloadInfo   *prometheus.GaugeVec
	fast         *prometheus.GaugeVec
	dropped      *prometheus.CounterVec
	programming  *prometheus.HistogramVec

	// checked is the input that is being checked, one at a time; nil: none.
	checks  sync.Mutex
	checked atomic.Pointer[input]

	mu       sync.Mutex
	labelled []fastpath.Labelled
	lastFail string
}

// register sets up what CoreDNS keeps per process: the order of directives, and the plugins of our own.
var register = sync.OnceValues(func() (*process, error) {
	if err := dnsserver.SetDirectives(directives()); err != nil {
		return nil, fmt.Errorf("set the directives of CoreDNS: %w", err)
	}
	caddy.Quiet, dnsserver.Quiet = true, true
	p, err := newProcess(prometheus.DefaultRegisterer)
	plugin.Register(func(c *caddy.Controller) (plugin.Deps, error) {
		in, err := p.inputOf(c)
		if err != nil {
			return plugin.Deps{}, err
		}
		in.claim(c)
		return in.deps, nil
	})
	corednsplugin.Register(reloadDirective, setupReload)
	return p, err
})

// newProcess registers the metrics: those of CoreDNS's reload plugin, whose place ours takes, and those of the fast path.
func newProcess(registry prometheus.Registerer) (*process, error) {
	p := &process{
		reloadFailed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coredns_reload_failed_total", Help: "Counter of the number of failed reload attempts.",
		}),
		reloadInfo: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coredns_reload_version_info",
			Help: "A metric with a constant '1' value labeled by hash, and value which type of hash generated.",
		}, []string{"hash", "value"}),
		fast: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchyard_dns_fast_path",
			Help: "1 if plain questions of the zone are answered without CoreDNS, 0 if the Corefile rules it out, for the reason given.",
		}, []string{"server", "zone", "reason"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchyard_dns_dropped_packets_total",
			Help: "Packets that were dropped because CoreDNS was working on as many as it may at once.",
		}, []string{"server"}),
		programming: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "coredns_kubernetes_dns_programming_duration_seconds",
			Help:    "Histogram of the time (in seconds) it took to program a dns instance.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 20), // from 1 millisecond to 9 minutes
		}, []string{"service_kind"}),
	}
	for _, theirs := range fastpath.Replaced() {
		registry.Unregister(theirs)
	}
	var errs []error
	for _, c := range []prometheus.Collector{p.reloadFailed, p.reloadInfo, p.fast, p.dropped, p.programming, fastpath.NewCollector(p.all)} {
		errs = append(errs, registry.Register(c))
	}
	return p, errors.Join(errs...)
}

// ObserveProgramming is zone.Config.Programmed for CoreDNS's metric coredns_kubernetes_dns_programming_duration_seconds, which is
// that of the process.
func ObserveProgramming(kind string, since time.Duration) {
	if p, err := register(); err == nil {
		p.programming.WithLabelValues(kind).Observe(since.Seconds())
	}
}

// counts returns the counts of a listener and zone, which live as long as the process.
func (p *process) counts(server, zone string) *fastpath.Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.labelled {
		if l.Server == server && l.Zone == zone {
			return l.Counts
		}
	}
	counts := fastpath.NewCounts(maxSockets)
	p.labelled = append(p.labelled, fastpath.Labelled{Server: server, Zone: zone, Counts: counts})
	return counts
}

// all returns the counts of all listeners.
func (p *process) all() []fastpath.Labelled {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]fastpath.Labelled(nil), p.labelled...)
}

// version notes the hash of the Corefile that is being served.
func (p *process) version(hash string) {
	p.reloadInfo.Reset()
	p.reloadInfo.WithLabelValues("sha512", hash).Set(1)
}

// failed counts a Corefile that was refused, and reports whether the error is another one than the last.
func (p *process) failed(why string) bool {
	p.reloadFailed.Inc()
	p.mu.Lock()
	defer p.mu.Unlock()
	again := why != "" && why == p.lastFail
	p.lastFail = why
	return !again
}

// status publishes how the zones of a listener are served.
func (p *process) status(addr string, statuses []Status) {
	p.forget(addr)
	for _, s := range statuses {
		value := 0.0
		if s.Slow == "" {
			value = 1
		}
		p.fast.WithLabelValues(addr, s.Zone, s.Slow).Set(value)
	}
}

// forget removes what status has published.
func (p *process) forget(addr string) {
	p.fast.DeletePartialMatch(prometheus.Labels{"server": addr})
}

// compareStatus orders by listener and zone.
func compareStatus(a, b Status) int {
	return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Zone, b.Zone))
}
