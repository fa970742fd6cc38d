package balance

import (
	"math"
	"net/netip"
	"sync/atomic"
	"time"
)

// Endpoint is what is known of one address. It stays valid for as long as someone holds it.
type Endpoint struct {
	Addr netip.AddrPort
	Pod  string // for logs; may be ""
	// Number is small, unique among the endpoints that live, and used again after they are gone.
	Number uint32

	refs int // guarded by the Balancer's mutex
	gone atomic.Bool

	_ [64]byte // what follows is written for each request: not on a line with what is only read
	// inflight is the requests that have begun and not ended.
	inflight atomic.Int64
	// fails is how many requests have failed one after another; until is when an ejected endpoint may be tried again, in
	// nanoseconds since 1970, 0 while it is not ejected. round doubles the next ejection.
	fails atomic.Uint32
	round atomic.Uint32
	until atomic.Int64
	// average is the response time in seconds, weighted by age, as bits of a float64; touched is when it was written.
	average atomic.Uint64
	touched atomic.Int64
	_       [64]byte
}

// Gone says that no pool has the endpoint any more: idle connections to it are of no use.
func (e *Endpoint) Gone() bool { return e.gone.Load() }

// InFlight returns how many requests have begun and not ended.
func (e *Endpoint) InFlight() int64 { return e.inflight.Load() }

// Outcome is how a request to an endpoint ended.
type Outcome uint8

// The outcomes. What the endpoint has answered is OK, whatever its status.
const (
	OK       Outcome = iota
	Failed           // no connection, or one that broke before a response
	TimedOut         // silence
	Canceled         // the client has gone, or nothing was asked: it says nothing about the endpoint
)

// Begin counts a request that is sent to e; End has to follow.
func (e *Endpoint) Begin() { e.inflight.Add(1) }

// averageDecay is the time in which an average loses all but 1/e of its weight, that of ingress-nginx's ewma.
const averageDecay = 10 * time.Second

// observe takes a response time into the average. Two at the same time may lose one of them: it is a statistic.
func (e *Endpoint) observe(now time.Time, took time.Duration) {
	weight := e.weight(now)
	average := math.Float64frombits(e.average.Load())*weight + took.Seconds()*(1-weight)
	e.average.Store(math.Float64bits(average))
	e.touched.Store(now.UnixNano())
}

// score is the average response time, decayed to now.
func (e *Endpoint) score(now time.Time) float64 {
	return math.Float64frombits(e.average.Load()) * e.weight(now)
}

func (e *Endpoint) weight(now time.Time) float64 {
	age := max(now.UnixNano()-e.touched.Load(), 0)
	return math.Exp(-float64(age) / float64(averageDecay))
}

func (e *Endpoint) ejected(now time.Time) bool {
	until := e.until.Load()
	return until != 0 && until > now.UnixNano()
}
