package source

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Source reads the API server for all consumers of a process.
type Source struct {
	cfg   Config
	state *state
	feeds []*feed
	// named are the kinds that are read by name.
	named map[Kind]*named
}

// New returns a Source that reads nothing until Run.
func New(cfg Config, deps Deps) (*Source, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, fmt.Errorf("source: register metrics: %w", err)
	}
	s := &Source{cfg: cfg, state: newState(cfg.Kinds)}
	for _, k := range cfg.Kinds {
		s.feeds = append(s.feeds, newFeed(k, cfg, deps, s.state, m))
	}
	s.named = map[Kind]*named{
		Secrets:    newNamed(secretsOf(deps.Client), cfg, m, s.state),
		ConfigMaps: newNamed(configMapsOf(deps.Client), cfg, m, s.state),
	}
	return s, nil
}

// Run reads until ctx is done, and returns nil then. It must be called once.
func (s *Source) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, f := range s.feeds {
		wg.Go(func() { f.run(ctx) })
	}
	for _, n := range s.named {
		wg.Go(func() { n.run(ctx) })
	}
	wg.Wait()
	return nil
}

// Ready returns nil while the snapshot is complete and up to date. Otherwise the error names each kind that is not,
// and wraps ErrNotSynced where there is no snapshot yet, or ErrStale where it may be old.
func (s *Source) Ready() error {
	var errs []error
	for _, f := range s.feeds {
		errs = append(errs, f.ready(s.cfg.StaleAfter))
	}
	return errors.Join(errs...)
}
