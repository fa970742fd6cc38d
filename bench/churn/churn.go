// Package churn asks a DNS server about Services that change all the time, and judges every answer.
//
// Each change of a Service gives all its endpoints other addresses, which say the change's number, or takes the Service away or brings it
// back. So an answer says of itself which state it is of: one that mixes two is wrong, and one of a state that was over before the question
// was asked is stale.
package churn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"golang.org/x/sync/errgroup"
)

const (
	services  = 64
	endpoints = 3
	writers   = 4
	askers    = 4
	// window is how many questions of one asker are under way at once.
	window = 16
	// lost is how long an answer may take before it is missing.
	lost = 2 * time.Second
	// settle is how long after the API server has accepted a change the state before may still be answered.
	settle = time.Second
	// startTimeout bounds the wait for the first answers.
	startTimeout = time.Minute
)

// Config says what to ask whom.
type Config struct {
	// Client writes the Services, of the namespace Namespace.
	Client    kubernetes.Interface
	Namespace string
	// Dial opens a UDP socket to the server.
	Dial func(context.Context) (net.Conn, error)
	// Queries is the number of questions.
	Queries int
}

// Result is what came of it.
type Result struct {
	Queries, Changes int
	Took             time.Duration
	// Wrong answers are of no state that ever was, Stale ones of a state that had ended or after which a later one was seen, Missing ones
	// did not come.
	Wrong, Stale, Missing int
	// Examples describe some of these.
	Examples []string
}

// Bad returns an error that describes what was wrong, stale or missing.
func (r Result) Bad() error {
	if r.Wrong+r.Stale+r.Missing == 0 {
		return nil
	}
	errs := []error{fmt.Errorf("of %d answers %d were wrong, %d stale and %d missing", r.Queries, r.Wrong, r.Stale, r.Missing)}
	for _, example := range r.Examples {
		errs = append(errs, errors.New(example))
	}
	return errors.Join(errs...)
}

// Run creates the Services, changes them while it asks, and removes them. It returns an error if it could not; what the answers were is
// in the result.
func Run(ctx context.Context, config Config) (_ Result, err error) {
	r := &run{config: config}
	for i := range services {
		r.histories[i] = &history{}
	}
	defer func() { err = errors.Join(err, r.remove(context.WithoutCancel(ctx))) }()
	if err := r.create(ctx); err != nil {
		return Result{}, err
	}
	began := time.Now()
	asking, stop := context.WithCancel(ctx)
	writing, _ := errgroup.WithContext(ctx)
	for w := range writers {
		writing.Go(func() error { return r.write(asking, ctx, w) })
	}
	asked, askCtx := errgroup.WithContext(ctx)
	for a := range askers {
		asked.Go(func() error { return r.ask(askCtx, a) })
	}
	err = asked.Wait()
	stop()
	err = errors.Join(err, writing.Wait())
	r.result.Took = time.Since(began)
	return r.result, err
}

// run is one run.
type run struct {
	config    Config
	histories [services]*history

	mu     sync.Mutex
	result Result // guarded by mu
}

// note adds what a verdict says.
func (r *run) note(v verdict, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch v {
	case right:
		return
	case wrong:
		r.result.Wrong++
	case stale:
		r.result.Stale++
	case missing:
		r.result.Missing++
	}
	if len(r.result.Examples) < 10 {
		r.result.Examples = append(r.result.Examples, fmt.Sprintf(format, args...))
	}
}

func serviceName(i int) string { return fmt.Sprintf("churn-%d", i) }
