package source

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// firstPause and longestPause bound the pause between two attempts to reach the API server. The longest is short
	// enough for a restarted API server to be found at once, and jittered so that the nodes of a cluster do not meet.
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
	// steady is how long an attempt has to last for the pauses to begin anew.
	steady = 10 * time.Second
)

// backoff doubles the pause from attempt to attempt. The zero value is ready.
type backoff struct{ last time.Duration }

func (b *backoff) reset() { b.last = 0 }

// next returns the next pause, with a jitter of half of it.
func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, firstPause), longestPause)
	return b.last/2 + rand.N(b.last/2)
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
