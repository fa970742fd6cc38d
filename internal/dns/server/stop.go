package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coredns/coredns/plugin/metrics"
	"github.com/coredns/coredns/plugin/pkg/transport"

	"github.com/switchyard-net/switchyard/internal/dns/fastpath"
)

const (
	// beginPatience is how long servers that were started may take until they serve.
	beginPatience = 5 * time.Second
	// beginGrace is for what a server does between our being told of it and its being stoppable, and for its TCP half.
	beginGrace = 100 * time.Millisecond
	// beginPoll is how often is looked.
	beginPoll = time.Millisecond
)

// begun counts the servers of an instance that have begun to serve.
type begun struct {
	mu    sync.Mutex
	count int
	last  time.Time
}

func (b *begun) note() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count++
	b.last = time.Now()
}

func (b *begun) state() (count int, last time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count, b.last
}

// awaitBegun returns when all servers serve: Stop of CoreDNS passes over those that have not begun, which then would never end.
func (s *Server) awaitBegun() {
	s.mu.Lock()
	in, want := s.input, 0
	for _, server := range s.instance.Servers() {
		if server.LocalAddr() != nil {
			want++
		}
	}
	s.mu.Unlock()
	if in.configs == nil { // we are told of none
		time.Sleep(beginGrace)
		return
	}
	for deadline := time.Now().Add(beginPatience); time.Now().Before(deadline); time.Sleep(beginPoll) {
		if count, last := in.begun.state(); count >= want && time.Since(last) > beginGrace {
			return
		}
	}
}

// stop runs the shutdown callbacks, among them the lameduck time of health, and closes everything.
func (s *Server) stop() {
	s.awaitBegun()
	s.mu.Lock()
	instance, in, listeners := s.instance, s.input, s.listeners
	s.listeners = map[string]*fastpath.Listener{}
	s.mu.Unlock() // servers that begin to serve take it
	errs := append(in.forgetMetrics(), instance.ShutdownCallbacks()...)
	for _, l := range listeners {
		errs = append(errs, closeListener(l))
	}
	errs = append(errs, instance.Stop())
	instance.Wait()
	if err := errors.Join(errs...); err != nil {
		s.deps.Log.Error("stopping DNS", "error", fmt.Errorf("%s: %w", transport.DNS, err))
	}
}

// forgetMetrics has plugin prometheus end as before a restart: at a mere end it remembers its address as one that is listened on,
// and the next server of the process does not listen there.
func (in *input) forgetMetrics() (errs []error) {
	for _, block := range in.configs {
		for _, config := range block {
			if m, ok := config.Handler("prometheus").(*metrics.Metrics); ok {
				errs = append(errs, m.OnRestart())
			}
		}
	}
	return errs
}

func closeListener(l *fastpath.Listener) error {
	ctx, cancel := context.WithTimeout(context.Background(), handOverGrace)
	defer cancel()
	return l.Close(ctx)
}
