package source

import (
	"context"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Subscription is one consumer's view of a Source. It is used from one goroutine at a time.
type Subscription struct {
	state *state
	// wake holds a token if there may be something new.
	wake chan struct{}
	// begun is true once the first snapshot was handed out. Guarded by state.mu.
	begun bool
	// pending is what changed since the snapshot handed out last. Guarded by state.mu.
	pending pending
}

// Subscribe adds a consumer. It can be called before, while and after the Source runs.
func (s *Source) Subscribe() *Subscription {
	sub := &Subscription{state: s.state, wake: make(chan struct{}, 1)}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.subs[sub] = struct{}{}
	return sub
}

// Next waits until something has changed since the snapshot that it returned last, and returns the present one with
// all changes in between. The first call waits until every kind has been read completely, and returns Changes.All.
// The only error is that of ctx.
func (s *Subscription) Next(ctx context.Context) (*model.Snapshot, model.Changes, error) {
	for {
		if snap, changes := s.take(); snap != nil {
			return snap, changes, nil
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, model.Changes{}, ctx.Err()
		}
	}
}

// Close ends the subscription; Next then waits for its context.
func (s *Subscription) Close() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	delete(s.state.subs, s)
	s.begun, s.pending = true, pending{}
}

// take returns the present snapshot and clears what was pending, or nil if there is nothing new.
func (s *Subscription) take() (*model.Snapshot, model.Changes) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if len(s.state.missing) > 0 || s.begun && s.pending.empty() {
		return nil, model.Changes{}
	}
	changes := model.Changes(s.pending)
	changes.All = !s.begun
	s.begun, s.pending = true, pending{}
	snap := s.state.snap
	return &snap, changes
}

// signal tells Next that there may be something new.
func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// pending is what changed since a consumer looked last.
type pending model.Changes

func (p *pending) empty() bool {
	return len(p.Services) == 0 && len(p.Nodes) == 0 && !p.ServiceCIDRs && !p.Namespaces && len(p.Ingresses) == 0 &&
		len(p.IngressStatuses) == 0 && !p.IngressClasses && len(p.Secrets) == 0 && len(p.ConfigMaps) == 0
}

func (p *pending) service(ref model.Ref) {
	note(&p.Services, ref)
}

// note adds a name to a set, which may be nil.
func note[K comparable](set *map[K]struct{}, name K) {
	if *set == nil {
		*set = map[K]struct{}{}
	}
	(*set)[name] = struct{}{}
}

func (p *pending) node(name string) {
	note(&p.Nodes, name)
}
