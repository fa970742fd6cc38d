package native

import (
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

// counterLife is how long the counters of a location are kept without a request.
const counterLife = 24 * time.Hour

// The upper bounds of histograms: of times in seconds and of sizes in bytes, those of ingress-nginx.
var (
	timeBounds = [...]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	sizeBounds = [...]float64{10, 100, 1000, 10000, 100000, 1e6, 1e7}
)

// labels are those of a location's counters.
type labels struct{ host, path, namespace, ingress, service string }

func labelsOf(l *route.Location) labels {
	s := labels{host: l.Host, path: l.Path, namespace: l.Ingress.Namespace, ingress: l.Ingress.Name}
	if l.Backend != nil {
		s.service = l.Backend.Key.Service.Name
	}
	return s
}

// counters are what a loop has counted of a location.
type counters struct {
	labels   labels
	requests map[outcome]*uint64
	took     histogram // seconds
	answered histogram // seconds until the head of the response
	received histogram // bytes
	sent     histogram
	used     time.Duration

	lastOutcome outcome
	last        *uint64
}

// outcome is what requests are counted by: few, as methods that are not known count as one.
type outcome struct {
	method string
	status int
	canary bool
}

// histogram counts values by the first bound that they do not exceed; the last count is that of more.
type histogram struct {
	counts [len(timeBounds) + 1]uint64
	sum    float64
}

func (h *histogram) observe(v float64, bounds []float64) {
	h.sum += v
	for i, b := range bounds {
		if v <= b {
			h.counts[i]++
			return
		}
	}
	h.counts[len(bounds)]++
}

func (h *histogram) add(o *histogram) {
	h.sum += o.sum
	for i, n := range o.counts {
		h.counts[i] += n
	}
}

// totals are what a loop has counted beside locations.
type totals struct {
	accepted, requests   uint64
	refused              map[int]uint64    // by status: requests that could not be understood
	decided              map[string]uint64 // by the reasons of package policy: answers that no backend was asked for
	handshakes           uint64            // of TLS that have failed
	dialled, reused      uint64            // connections to endpoints
	retried              uint64            // requests that went to another endpoint
	panics               uint64
	active, upstreamIdle int // now
}

// count accounts for the request.
func (e *exchange) count() {
	w := e.w
	w.totals.requests++
	if n := len(e.record.attempts); n > 1 {
		w.totals.retried += uint64(n - 1)
	}
	if e.x.Location == nil {
		return
	}
	if reason := e.x.Answer.Reason; reason != "" {
		w.totals.decided[reason]++
	}
	c := e.place.counters
	c.used = w.loop.Elapsed()
	c.add(outcome{methodLabel(e.request.Method), e.record.status, e.x.Canary})
	c.took.observe((w.loop.Elapsed() - e.record.start).Seconds(), timeBounds[:])
	if n := len(e.record.attempts); n > 0 {
		c.answered.observe(e.record.attempts[n-1].took.Seconds(), timeBounds[:])
	}
	c.received.observe(float64(max(e.record.received, e.body.size)), sizeBounds[:])
	c.sent.observe(float64(e.record.sent), sizeBounds[:])
}

// newTotals returns totals that can be counted in.
func newTotals() totals { return totals{refused: map[int]uint64{}, decided: map[string]uint64{}} }

// methodLabel returns the method as a label.
func methodLabel(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return method
	}
	return "OTHER"
}

// countersOf returns the counters of a location. They outlive it: another one with the same labels goes on with them.
func (w *worker) countersOf(l *route.Location) *counters {
	key := labelsOf(l)
	c := w.counters[key]
	if c == nil {
		c = &counters{labels: key, requests: map[outcome]*uint64{}}
		w.counters[key] = c
	}
	return c
}

// add counts a request. Most are like the one before.
func (c *counters) add(o outcome) {
	if c.last == nil || o != c.lastOutcome {
		c.last, c.lastOutcome = c.requests[o], o
		if c.last == nil {
			c.last = new(uint64)
			c.requests[o] = c.last
		}
	}
	*c.last++
}
