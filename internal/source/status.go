package source

import (
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// What Ready reports, to be told apart with errors.Is.
var (
	// ErrNotSynced means that some kind was never read completely, so that there is no snapshot.
	ErrNotSynced = errors.New("not read yet")
	// ErrStale means that the API server has been silent for long, so that the snapshot may be old.
	ErrStale = errors.New("no contact with the API server")
)

// status is what a feed tells about itself.
type status struct {
	mu       sync.Mutex
	complete bool      // guarded by mu
	heard    time.Time // of the last sign of life of the API server; guarded by mu
	failure  error     // of the last turn, nil since heard; guarded by mu
	failures int       // turns in a row without a sign of life; guarded by mu
}

// quietFailures is the number of failures in a row that are no news: a restarted API server is back by then.
const quietFailures = 3

// contact notes a sign of life of the API server.
func (f *feed) contact() {
	now := time.Now()
	f.status.mu.Lock()
	news := f.status.failures >= quietFailures
	f.status.heard, f.status.failure, f.status.failures = now, nil, 0
	f.status.mu.Unlock()
	f.metrics.contact(now)
	if news {
		f.log.Info("the API server answers again")
	}
}

// synced notes that the store holds a complete state.
func (f *feed) synced() {
	f.status.mu.Lock()
	first := !f.status.complete
	f.status.complete = true
	f.status.mu.Unlock()
	f.contact()
	f.metrics.objects(f.store.len())
	if first {
		f.log.Info("read completely", "objects", f.store.len())
	}
}

// failed notes why a turn ended.
func (f *feed) failed(err error) {
	f.status.mu.Lock()
	f.status.failure = err
	f.status.failures++
	failures := f.status.failures
	f.status.mu.Unlock()
	if failures == quietFailures {
		f.log.Warn("cannot read from the API server; the last state stays in use", "err", err)
		return
	}
	f.log.Debug("reading is interrupted", "err", err, "failures", failures)
}

// ready returns nil, or an error that wraps ErrNotSynced or ErrStale.
func (f *feed) ready(staleAfter time.Duration) error {
	f.status.mu.Lock()
	defer f.status.mu.Unlock()
	cause := ""
	if err := f.status.failure; err != nil {
		cause = ": " + err.Error()
	}
	if apierrors.IsForbidden(f.status.failure) {
		cause += fmt.Sprintf("; allow this identity to list and watch %q of API group %q", f.kind, f.group)
	}
	if !f.status.complete {
		return fmt.Errorf("%s: %w%s", f.kind, ErrNotSynced, cause)
	}
	if age := time.Since(f.status.heard); age > staleAfter {
		return fmt.Errorf("%s: %w for %s, the last state stays in use%s", f.kind, ErrStale, age.Round(time.Second), cause)
	}
	return nil
}
