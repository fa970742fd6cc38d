package echo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Load describes requests to make of an echo server. It ends after Count requests or after the time For, whichever is
// first of those that are set, or when its context ends.
type Load struct {
	URL     string
	Count   int           // 0: no limit
	For     time.Duration // 0: no limit
	Every   time.Duration // pause of each worker between two requests
	Workers int           // requests under way at once; 0 means 1
	Timeout time.Duration // of one request, connecting included; 0 means 2s
}

// Outcome is what became of a load. Every request is made on a connection of its own, so that each is one decision of
// the service proxy.
type Outcome struct {
	Requests int            `json:"requests"`
	Failed   int            `json:"failed"`
	Pods     map[string]int `json:"pods"` // answers by the pod that gave them
	// Last is when the latest request that each pod answered was started.
	Last   map[string]time.Time `json:"last"`
	Errors map[string]int       `json:"errors,omitempty"`
}

// Run makes the requests and counts who answered. Failed requests are counted, and are no error.
func (l Load) Run(ctx context.Context) Outcome {
	if l.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.For)
		defer cancel()
	}
	requests := &requests{
		left:    l.Count,
		bounded: l.Count > 0,
		outcome: Outcome{Pods: map[string]int{}, Last: map[string]time.Time{}, Errors: map[string]int{}},
	}
	client := l.client()
	var workers sync.WaitGroup
	for range max(l.Workers, 1) {
		workers.Go(func() { l.work(ctx, client, requests) })
	}
	workers.Wait()
	return requests.outcome
}

func (l Load) work(ctx context.Context, client *http.Client, requests *requests) {
	for ctx.Err() == nil && requests.take() {
		started := time.Now()
		// A request under way when the time is over is let finish: cutting it off would count as a failure.
		pod, err := get(context.WithoutCancel(ctx), client, l.URL)
		requests.done(started, pod, err)
		select {
		case <-ctx.Done():
		case <-time.After(l.Every):
		}
	}
}

func (l Load) client() *http.Client {
	timeout := l.Timeout
	if timeout == 0 {
		timeout = 2 * time.Second
	}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       (&net.Dialer{Timeout: timeout}).DialContext,
		},
	}
}

// get asks the server that answers for its pod's name.
func get(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/pod", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %s", response.Status)
	}
	return strings.TrimSpace(string(body)), nil
}

// requests is the count that the workers of a load share.
type requests struct {
	mu      sync.Mutex
	left    int // guarded by mu
	bounded bool
	outcome Outcome // guarded by mu
}

// take claims one more request, or reports that there are no more.
func (r *requests) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.bounded {
		return true
	}
	if r.left == 0 {
		return false
	}
	r.left--
	return true
}

func (r *requests) done(started time.Time, pod string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcome.Requests++
	if err != nil {
		r.outcome.Failed++
		r.outcome.Errors[err.Error()]++
		return
	}
	r.outcome.Pods[pod]++
	if r.outcome.Last[pod].Before(started) {
		r.outcome.Last[pod] = started
	}
}
