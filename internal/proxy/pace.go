package proxy

import "time"

const (
	// inspectPeriod is how often an Inspector is asked, and what else is cheap is tried again.
	inspectPeriod = time.Second
	// The pause after a failure doubles from firstRetry to lastRetry.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// pace decides when to sync. Its zero times are long ago: everything is due at the start.
type pace struct {
	config   Config
	inspects bool // the backend is an Inspector

	lastStart time.Time // of a sync
	lastFull  time.Time // end of the last full sync that succeeded
	failures  int       // since the last success
	retryAt   time.Time // meaningful while failures > 0

	inspectAt time.Time
	// suspicion is how long to wait after an inspection that found a change which turned out to be none of ours: it
	// doubles each time, so that other users of the kernel's tables do not make us read ours all the time.
	suspicion time.Duration
	suspects  bool // the sync that comes next is due to an inspection
}

func newPace(config Config, inspects bool) pace {
	return pace{config: config, inspects: inspects, suspicion: inspectPeriod}
}

// fullPeriod is the time between two full syncs that nothing asked for.
func (p *pace) fullPeriod() time.Duration {
	if p.inspects {
		return p.config.FullSyncPeriod
	}
	return p.config.SyncPeriod
}

// earliest is when the next sync may start.
func (p *pace) earliest() time.Time {
	if p.failures > 0 {
		return p.retryAt
	}
	return p.lastStart.Add(p.config.MinSyncPeriod)
}

func (p *pace) syncDue(now time.Time) bool { return !now.Before(p.earliest()) }

func (p *pace) fullDue(now time.Time) bool {
	return !p.lastFull.IsZero() && !now.Before(p.lastFull.Add(p.fullPeriod()))
}

func (p *pace) inspectionDue(now time.Time) bool { return !now.Before(p.inspectAt) }

// next is when something will be due; waiting says that there is something to sync.
func (p *pace) next(waiting bool) time.Time {
	next := p.inspectAt
	if waiting && p.earliest().Before(next) {
		next = p.earliest()
	}
	return next
}

func (p *pace) started(now time.Time) { p.lastStart = now }

func (p *pace) failed(now time.Time) {
	p.retryAt = now.Add(min(firstRetry<<min(p.failures, 16), lastRetry))
	p.failures++
}

// succeeded notes the end of a sync; repaired says that it undid what others had changed.
func (p *pace) succeeded(now time.Time, full, repaired bool) {
	p.failures = 0
	if !full {
		return
	}
	p.lastFull = now
	switch {
	case repaired:
		p.suspicion = inspectPeriod
	case p.suspects:
		p.suspicion = min(2*p.suspicion, p.config.SyncPeriod)
		p.inspectAt = now.Add(p.suspicion)
	}
	p.suspects = false
}

// inspected notes an inspection; suspected, that it asks for a full sync.
func (p *pace) inspected(now time.Time) { p.inspectAt = now.Add(inspectPeriod) }
func (p *pace) suspected()              { p.suspects = true }
