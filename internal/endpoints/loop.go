package endpoints

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"
)

// maxRetries is how often a key that keeps failing is tried again before it waits for its next event; upstream's figure
// for all three controllers.
const maxRetries = 15

// errStale says that an informer has not yet seen this controller's own last write. Acting on such a view would undo
// or repeat that write (kubernetes/kubernetes#117193, #127370), so the sync is tried again later.
var errStale = errors.New("the watch is behind this controller's own writes")

// loop works off a queue of keys: a key is never synced by two workers at once, and a failed one comes back later.
type loop struct {
	name    string
	queue   workqueue.TypedRateLimitingInterface[string]
	workers int
	sync    func(ctx context.Context, key string) error
	// observe is told the result of every sync; may be nil.
	observe func(error)
	log     *slog.Logger
}

// newQueue returns a queue whose name is the label of its workqueue_* metrics.
func newQueue(name string, limiter workqueue.TypedRateLimiter[string], m workqueue.MetricsProvider) workqueue.TypedRateLimitingInterface[string] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(limiter,
		workqueue.TypedRateLimitingQueueConfig[string]{Name: name, MetricsProvider: m})
}

// sliceRetries is the back-off of a controller that writes EndpointSlices: from one second per key up to longest, and
// 10 retries a second over all keys with a burst of 100. A sync of these can be many large writes.
func sliceRetries(longest time.Duration) workqueue.TypedRateLimiter[string] {
	return workqueue.NewTypedMaxOfRateLimiter[string](
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Second, longest),
		&workqueue.TypedBucketRateLimiter[string]{Limiter: rate.NewLimiter(rate.Limit(10), 100)},
	)
}

// run works until ctx ends, then returns once no sync is under way.
func (l *loop) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range l.workers {
		workers.Go(func() {
			for l.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	l.queue.ShutDown()
	workers.Wait()
}

// next syncs one key; false means that the queue has been shut down.
func (l *loop) next(ctx context.Context) bool {
	key, shutdown := l.queue.Get()
	if shutdown {
		return false
	}
	defer l.queue.Done(key)
	if ctx.Err() != nil {
		return true
	}
	err := l.sync(ctx, key)
	if ctx.Err() != nil {
		return true // cut off half-way: the next leader starts from what is there
	}
	if l.observe != nil {
		l.observe(err)
	}
	l.settle(key, err)
	return true
}

// settle decides whether a key comes back.
func (l *loop) settle(key string, err error) {
	switch {
	case err == nil:
		l.queue.Forget(key)
	case l.queue.NumRequeues(key) < maxRetries:
		level := slog.LevelInfo
		if errors.Is(err, errStale) {
			level = slog.LevelDebug
		}
		l.log.Log(context.Background(), level, "sync failed, trying again", "controller", l.name, "key", key, "err", err)
		l.queue.AddRateLimited(key)
	default:
		l.log.Error("sync failed too often, waiting for the next change", "controller", l.name, "key", key,
			"tries", maxRetries+1, "err", err)
		l.queue.Forget(key)
	}
}
