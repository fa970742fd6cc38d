package native

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrapeWait is how long a scrape waits for a loop.
const scrapeWait = 5 * time.Second

// descriptions are those of all metrics. Those of ingress-nginx have its names and, as far as they are bounded, its labels.
type descriptions struct {
	requests, took, answered, received, sent *prometheus.Desc
	connections, accepted, all               *prometheus.Desc
	refused, decided                         *prometheus.Desc
	handshakes, dialled, retried, panics     *prometheus.Desc
	dropped, expires                         *prometheus.Desc
}

func newDescriptions() *descriptions {
	location := []string{"host", "path", "namespace", "ingress", "service"}
	d := func(name, help string, names ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, names, nil)
	}
	const nginx, own = "nginx_ingress_controller_", "switchyard_ingress_"
	return &descriptions{
		requests:    d(nginx+"requests", "Requests of clients.", append([]string{"method", "status", "canary"}, location...)...),
		took:        d(nginx+"request_duration_seconds", "Time from the head of a request to the end of its response.", location...),
		answered:    d(nginx+"response_duration_seconds", "Time from choosing an endpoint to the head of its response.", location...),
		received:    d(nginx+"request_size", "Bytes of bodies of requests.", location...),
		sent:        d(nginx+"response_size", "Bytes of bodies of responses.", location...),
		connections: d(nginx+"nginx_process_connections", "Connections: of clients (active), to endpoints without a request (waiting).", "state"),
		accepted:    d(nginx+"nginx_process_connections_total", "Connections of clients.", "state"),
		all:         d(nginx+"nginx_process_requests_total", "Requests of clients, also those for no location."),
		refused:     d(own+"refused_requests_total", "Requests that could not be understood, by the status of the answer.", "status"),
		decided:     d(own+"own_answers_total", "Answers of the entry's own to requests, by why no backend was asked.", "reason"),
		handshakes:  d(own+"failed_handshakes_total", "Handshakes of TLS with clients that have failed."),
		dialled:     d(own+"upstream_requests_total", "Attempts with endpoints, by whether a connection was used again.", "connection"),
		retried:     d(own+"retries_total", "Attempts with a further endpoint after one that has failed."),
		panics:      d(own+"panics_total", "Connections that ended by a fault of this program."),
		dropped:     d(own+"access_log_dropped_total", "Lines of the access log that could not be written in time."),
		expires:     d(nginx+"ssl_expire_time_seconds", "When the certificate of a host expires, in seconds since 1970.", "host", "namespace", "secret_name"),
	}
}

// collector gathers the metrics of an engine when it is asked for them: loops count without locks.
type collector struct {
	*descriptions
	engine *Engine
}

// Describe names the metrics.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.requests, c.took, c.answered, c.received, c.sent, c.connections, c.accepted, c.all, c.refused, c.decided, c.handshakes,
		c.dialled, c.retried, c.panics, c.dropped, c.expires,
	} {
		to <- d
	}
}

// Collect sums up what the loops have counted.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	sum := gather(c.engine)
	for _, l := range sum.places {
		c.place(to, l)
	}
	t := &sum.totals
	value := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	value(c.connections, prometheus.GaugeValue, float64(t.active), "active")
	value(c.connections, prometheus.GaugeValue, float64(t.upstreamIdle), "waiting")
	value(c.accepted, prometheus.CounterValue, float64(t.accepted), "accepted")
	value(c.accepted, prometheus.CounterValue, float64(t.accepted), "handled")
	value(c.all, prometheus.CounterValue, float64(t.requests))
	for reason, n := range t.decided {
		value(c.decided, prometheus.CounterValue, float64(n), reason)
	}
	for status, n := range t.refused {
		value(c.refused, prometheus.CounterValue, float64(n), strconv.Itoa(status))
	}
	value(c.handshakes, prometheus.CounterValue, float64(t.handshakes))
	value(c.dialled, prometheus.CounterValue, float64(t.dialled), "new")
	value(c.dialled, prometheus.CounterValue, float64(t.reused), "reused")
	value(c.retried, prometheus.CounterValue, float64(t.retried))
	value(c.panics, prometheus.CounterValue, float64(t.panics))
	if log := c.engine.access; log != nil {
		value(c.dropped, prometheus.CounterValue, float64(log.dropped.Load()))
	}
	c.certificates(to)
}

// certificates says when those of hosts expire.
func (c *collector) certificates(to chan<- prometheus.Metric) {
	g := c.engine.current.Load()
	if g == nil {
		return
	}
	for h := range g.table.Hosts() {
		if h.Certificate == nil || h.Certificate.TLS.Leaf == nil {
			continue
		}
		to <- prometheus.MustNewConstMetric(c.expires, prometheus.GaugeValue, float64(h.Certificate.TLS.Leaf.NotAfter.Unix()),
			h.Name, h.Certificate.Secret.Namespace, h.Certificate.Secret.Name)
	}
}

func (c *collector) place(to chan<- prometheus.Metric, l *counters) {
	s := []string{l.labels.host, l.labels.path, l.labels.namespace, l.labels.ingress, l.labels.service}
	for o, n := range l.requests {
		labels := append([]string{o.method, strconv.Itoa(o.status), strconv.FormatBool(o.canary)}, s...)
		to <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, float64(*n), labels...)
	}
	for _, h := range []struct {
		d      *prometheus.Desc
		of     *histogram
		bounds []float64
	}{
		{c.took, &l.took, timeBounds[:]},
		{c.answered, &l.answered, timeBounds[:]},
		{c.received, &l.received, sizeBounds[:]},
		{c.sent, &l.sent, sizeBounds[:]},
	} {
		buckets, total := map[float64]uint64{}, uint64(0)
		for i, b := range h.bounds {
			total += h.of.counts[i]
			buckets[b] = total
		}
		total += h.of.counts[len(h.bounds)]
		to <- prometheus.MustNewConstHistogram(h.d, total, h.of.sum, buckets, s...)
	}
}

// gathered is the sum of what loops have counted.
type gathered struct {
	places map[labels]*counters
	totals totals
}

// gather asks all loops. One that does not answer in time is left out.
func gather(e *Engine) *gathered {
	parts := make(chan *gathered, len(e.workers))
	for _, w := range e.workers {
		w.loop.Post(func() { parts <- w.counted() })
	}
	sum := &gathered{places: map[labels]*counters{}, totals: newTotals()}
	late := time.After(scrapeWait)
	for range e.workers {
		select {
		case p := <-parts:
			sum.add(p)
		case <-e.ended:
			return sum
		case <-late:
			return sum
		}
	}
	return sum
}

// counted returns a copy of what the loop has counted.
func (w *worker) counted() *gathered {
	g := &gathered{places: make(map[labels]*counters, len(w.counters)), totals: newTotals()}
	w.totals.active, w.totals.upstreamIdle = len(w.conns)+w.carried, w.idle.n
	g.add(&gathered{places: w.counters, totals: w.totals})
	return g
}

func (g *gathered) add(o *gathered) {
	for key, from := range o.places {
		to := g.places[key]
		if to == nil {
			to = &counters{labels: key, requests: make(map[outcome]*uint64, len(from.requests))}
			g.places[key] = to
		}
		for outcome, n := range from.requests {
			to.add(outcome)
			*to.last += *n - 1
		}
		to.took.add(&from.took)
		to.answered.add(&from.answered)
		to.received.add(&from.received)
		to.sent.add(&from.sent)
	}
	a, b := &g.totals, &o.totals
	for status, n := range b.refused {
		a.refused[status] += n
	}
	for reason, n := range b.decided {
		a.decided[reason] += n
	}
	a.accepted, a.requests, a.handshakes = a.accepted+b.accepted, a.requests+b.requests, a.handshakes+b.handshakes
	a.dialled, a.reused, a.retried, a.panics = a.dialled+b.dialled, a.reused+b.reused, a.retried+b.retried, a.panics+b.panics
	a.active, a.upstreamIdle = a.active+b.active, a.upstreamIdle+b.upstreamIdle
}
