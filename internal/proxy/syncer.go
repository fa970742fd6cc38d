package proxy

import (
	"context"
	"fmt"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// Syncer keeps the kernel equal to the plan. Use Run once.
type Syncer struct {
	config Config
	deps   Deps
	ports  *healthPorts
	pace   pace

	// The fields below belong to the goroutine of Run.

	snapshot *model.Snapshot // the newest; nil before the caches have synced
	desired  *plan.Plan      // for snapshot
	applied  *plan.Plan      // what the kernel has; nil: not known
	changed  map[model.Ref]struct{}
	full     bool                // everything may differ
	silent   <-chan plan.Silence // nil: none comes
	pending  pendingChanges
	udp      udpCleaner
	reported reporter
}

// NewSyncer returns a Syncer that has done nothing yet.
func NewSyncer(config Config, deps Deps) *Syncer {
	config = config.withDefaults()
	_, inspects := deps.Backend.(Inspector)
	s := &Syncer{
		config:   config,
		deps:     deps,
		ports:    newHealthPorts(config, deps),
		pace:     newPace(config, inspects),
		changed:  map[model.Ref]struct{}{},
		udp:      newUDPCleaner(config.Families, deps),
		reported: newReporter(deps),
	}
	if deps.Quarantine != nil {
		s.silent = deps.Quarantine.Silent()
	}
	return s
}

// batch is a result of Subscription.Next.
type batch struct {
	snapshot *model.Snapshot
	changes  model.Changes
}

// Run keeps the kernel equal to the plan until ctx is done; it then leaves the rules in force. It fails only if Check
// does: what goes wrong later is retried.
func (s *Syncer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan batch)
	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		s.pump(ctx, batches)
	}()
	defer func() {
		cancel()
		<-pumped
		s.ports.close()
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-batches:
			if err := s.absorb(b); err != nil {
				return err
			}
		case addrs := <-s.deps.Addrs:
			s.deps.Planner.SetAddrs(addrs)
			s.replan(model.Changes{})
		case silent := <-s.silent:
			s.deps.Planner.SetSilent(silent)
			s.replan(model.Changes{})
		case <-timer.C:
		}
		if s.snapshot != nil {
			s.act(ctx, time.Now())
			timer.Reset(time.Until(s.pace.next(s.waiting())))
		}
	}
}

// pump passes on what the subscription says, until ctx is done.
func (s *Syncer) pump(ctx context.Context, batches chan<- batch) {
	for {
		snapshot, changes, err := s.deps.Subscription.Next(ctx)
		if err != nil {
			return
		}
		select {
		case batches <- batch{snapshot, changes}:
		case <-ctx.Done():
			return
		}
	}
}

// waiting reports whether the kernel is behind the plan.
func (s *Syncer) waiting() bool { return s.full || len(s.changed) > 0 }

// absorb plans for a snapshot, and notes what differs until the next sync.
func (s *Syncer) absorb(b batch) error {
	if s.snapshot == nil && s.deps.Check != nil {
		if err := s.deps.Check(b.snapshot); err != nil {
			return err
		}
	}
	s.followNode(b.snapshot)
	s.pending.add(s.snapshot, b, s.deps.Metrics)
	s.udp.note(b.changes)
	s.snapshot = b.snapshot
	s.replan(b.changes)
	return nil
}

// replan plans for the newest snapshot, if there is one, that differs in this from the one planned for last.
func (s *Syncer) replan(changes model.Changes) {
	if s.snapshot == nil {
		return
	}
	desired, changed, full := s.deps.Planner.Apply(s.snapshot, changes)
	s.desired = desired
	s.full = s.full || full
	for _, ref := range changed {
		s.changed[ref] = struct{}{}
	}
	s.reported.problems(s.snapshot, desired, changed)
	s.deps.Metrics.desired.Set(float64(s.snapshot.Version))
	if s.waiting() {
		s.deps.Health.queued(s.config.Families)
		s.deps.Metrics.queued(s.config.Families, time.Now())
		return
	}
	s.settled()
}

// followNode tells Health about this node, and the log of changes that matter to the rules.
func (s *Syncer) followNode(next *model.Snapshot) {
	node, _ := next.Nodes.Get(s.config.NodeName)
	s.deps.Health.setNode(node)
	if s.snapshot == nil {
		if node == nil {
			s.deps.Log.Warn("the API server has no Node of this name yet; no endpoint counts as local", "node", s.config.NodeName)
		}
		return
	}
	before, _ := s.snapshot.Nodes.Get(s.config.NodeName)
	switch {
	case before != nil && node == nil:
		s.deps.Log.Warn("the Node of this host was deleted; its rules stay in force, and /healthz says 503", "node", s.config.NodeName)
	case before == nil && node != nil:
		s.deps.Log.Info("the Node of this host appeared", "node", s.config.NodeName, "addresses", node.Addrs, "podCIDRs", node.PodCIDRs)
	case before != nil && (fmt.Sprint(before.Addrs) != fmt.Sprint(node.Addrs) || fmt.Sprint(before.PodCIDRs) != fmt.Sprint(node.PodCIDRs)):
		s.deps.Log.Info("the Node of this host changed; its rules are planned anew", "node", s.config.NodeName,
			"addresses", node.Addrs, "podCIDRs", node.PodCIDRs)
	}
}

// act does what is due.
func (s *Syncer) act(ctx context.Context, now time.Time) {
	if s.pace.inspectionDue(now) {
		s.inspect(ctx, now)
		s.ports.retry()
	}
	if s.pace.fullDue(now) {
		s.full = true
	}
	if s.waiting() && s.pace.syncDue(now) {
		s.sync(ctx, now)
	}
	if !s.waiting() {
		s.udp.clean(s.snapshot, s.desired)
	}
}

// inspect asks an Inspector whether others have touched the rules.
func (s *Syncer) inspect(ctx context.Context, now time.Time) {
	s.pace.inspected(now)
	inspector, ok := s.deps.Backend.(Inspector)
	if !ok || s.applied == nil || s.waiting() {
		return
	}
	intact, err := inspector.Intact(ctx)
	if err != nil {
		s.deps.Log.Warn("cannot tell whether the rules are intact; comparing all of them", "error", err)
	}
	if !intact || err != nil {
		s.full = true
		s.pace.suspected()
	}
}

// sync makes the kernel equal to the plan.
func (s *Syncer) sync(ctx context.Context, start time.Time) {
	update := plan.Update{Plan: s.desired, Changed: sortedRefs(s.changed), Full: s.full}
	s.pace.started(start)
	report, err := s.deps.Backend.Sync(ctx, update)
	now := time.Now()
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		// What the kernel has now is not known: the next attempt starts from its real state.
		s.full = true
		s.pace.failed(now)
		s.deps.Metrics.failed(s.config.Families)
		s.reported.unsupportedBy(s.snapshot, report)
		s.reported.failure(err, s.pace.failures)
		return
	}
	s.deps.Metrics.synced(s.config.Families, update.Full, now.Sub(start), now)
	s.deps.Metrics.operations.Add(float64(report.Operations))
	s.deps.Metrics.repaired.Add(float64(report.Repaired))
	s.deps.Metrics.counted(report.Rulesets)
	s.pace.succeeded(now, update.Full, report.Repaired > 0)
	if report.Repaired > 0 {
		s.deps.Log.Warn("others had changed our rules in the kernel; they are repaired", "operations", report.Repaired)
	}
	s.reported.unsupportedBy(s.snapshot, report)
	s.observe(update)
	if s.applied == nil && s.deps.Settled != nil {
		go s.deps.Settled(ctx)
	}
	s.applied, s.full = s.desired, false
	clear(s.changed)
	s.settled()
	s.deps.Log.Debug("synced", "took", now.Sub(start), "full", update.Full, "services", len(update.Changed),
		"operations", report.Operations, "repaired", report.Repaired, "generation", s.snapshot.Version)
}

// observe brings what depends on the plans of single Services up to date with a plan that has just been applied.
func (s *Syncer) observe(update plan.Update) {
	if s.applied == nil || update.Plan.Node.NodePorts.AnyLocal != s.applied.Node.NodePorts.AnyLocal ||
		fmt.Sprint(update.Plan.Node.NodePorts.Addrs) != fmt.Sprint(s.applied.Node.NodePorts.Addrs) {
		s.ports.listenOn(update.Plan.Node.NodePorts)
	}
	for before, after := range s.differences(update) {
		s.ports.update(s.snapshot, before, after)
		s.pending.observe(before, after, s.deps.Metrics)
	}
	s.ports.retry()
	if update.Full {
		s.udp.noteAll()
	}
}

// differences yields each Service whose plan differs between the applied plan and the update, before and after; nil
// stands for none.
func (s *Syncer) differences(update plan.Update) func(yield func(before, after *plan.Service) bool) {
	var applied plan.Plan
	if s.applied != nil {
		applied = *s.applied
	}
	return func(yield func(before, after *plan.Service) bool) {
		if !update.Full {
			for _, ref := range update.Changed {
				before, _ := applied.Services.Get(ref)
				after, _ := update.Plan.Services.Get(ref)
				if before != after && !yield(before, after) {
					return
				}
			}
			return
		}
		for ref, after := range update.Plan.Services.All() {
			if before, _ := applied.Services.Get(ref); before != after && !yield(before, after) {
				return
			}
		}
		for ref, before := range applied.Services.All() {
			if _, ok := update.Plan.Services.Get(ref); !ok && !yield(before, nil) {
				return
			}
		}
	}
}

// settled records that the kernel is equal to the newest plan.
func (s *Syncer) settled() {
	s.deps.Health.updated(s.config.Families)
	s.deps.Metrics.applied.Set(float64(s.snapshot.Version))
	s.pending.settle(time.Now(), s.deps.Metrics)
	if s.deps.Quarantine != nil {
		s.deps.Quarantine.Applied(s.desired, s.snapshot)
	}
}
