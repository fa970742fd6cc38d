package quarantine

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Mode says what happens to endpoints that do not answer.
type Mode string

// The modes.
const (
	Off     Mode = "off"     // nobody looks
	Observe Mode = "observe" // they are found and reported, and keep their connections
	On      Mode = "on"      // they get no new connections from this node until they answer
)

// ParseMode returns the mode that a word names.
func ParseMode(word string) (Mode, error) {
	switch m := Mode(word); m {
	case Off, Observe, On:
		return m, nil
	}
	return "", fmt.Errorf(`%q: want "off", "observe" or "on"`, word)
}

// The times that add up to how long a hung endpoint keeps getting connections, at most: spacing + patience + drain + tick
// for the first unanswered connection to be noticed, retrial + probePatience for the probes; 1.85 s, and the time of a sync.
// Where a trial is under way when it hangs, as with endpoints that are always slow: retrial + probePatience + retryPeriod
// more from then on, less what has passed of the first; 2.4 s.
const (
	// drain is how long events of conntrack collect before they are read.
	drain = 50 * time.Millisecond
	// spacing is the least time between two samples of an endpoint's connections.
	spacing = 250 * time.Millisecond
	// glance is when a sampled connection is looked at first: nearly all are answered by then.
	glance = 150 * time.Millisecond
	// patience is when a connection that was not answered becomes a reason to probe.
	patience = 400 * time.Millisecond
	// probePatience is how long a probe waits, in all: less than the second after which TCP sends a lost SYN again (RFC
	// 6298), which is why there are two.
	probePatience = 800 * time.Millisecond
	// returnPatience is how long a probe of an endpoint waits that was found mute: a process that goes on answers one that waits at
	// once, and one that does not meets fewer of them.
	returnPatience = 3 * time.Second
	// retrial is the time from the first probe of a trial to the second.
	retrial = 300 * time.Millisecond
	// restPeriod is how long an endpoint is left alone after a trial that found it in order, and the time between two probes
	// of a silent endpoint; retryPeriod, after a trial that found nothing.
	restPeriod  = time.Second
	retryPeriod = 500 * time.Millisecond
)

// The bounds of what is done and kept.
const (
	samplesPerSecond = 500
	// probesPerSecond bounds trials and lessons; the probes of silent endpoints are as many again at most.
	probesPerSecond = 100
	// maxSilent is how many endpoints can be silent at once; more are left where they are.
	maxSilent = 500
	// maxUnknown is how many addresses may wait to be looked up in the plan, and how many are remembered as none of it.
	maxUnknown = 4096
	// locateShare is how much longer than a search of the plan it takes until the next.
	locateShare = 100
	// forgetAfter is how long an endpoint without connections is known.
	forgetAfter = 10 * time.Minute
)

// Events tells of connections that begin; conntrack.Events is one.
type Events interface {
	// Read waits for some, and passes them to visit. An error is final.
	Read(visit func(conntrack.Connection)) error
}

// Table tells how a connection fares; conntrack.Table is one.
type Table interface {
	Lookup(c conntrack.Connection) (now conntrack.Connection, ok bool, err error)
}

// Reporter tells users about their Services; events.Recorder is one.
type Reporter interface {
	ServiceWarning(service *model.Service, reason, message string)
	ServiceNormal(service *model.Service, reason, message string)
}

// Deps are what a Watch works with.
type Deps struct {
	Events   Events
	Table    Table
	Reporter Reporter
	Metrics  prometheus.Registerer
	Log      *slog.Logger
	// Dial connects a probe to an endpoint, from this node; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}
