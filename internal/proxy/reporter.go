package proxy

import (
	"log/slog"
	"slices"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// Reasons of the Events that a Syncer records.
const (
	reasonProblem     = "ServiceNotHonoured"
	reasonUnsupported = "UnsupportedByNode"
	reasonSyncFailed  = "FailedToSyncServiceRules"
)

// failuresToReport is how often a sync must fail in a row for the Node to get an Event: the first few pass by
// themselves.
const failuresToReport = 5

// reporter tells people what cannot be done: each fact once, when it becomes true.
type reporter struct {
	events  Events
	metrics *Metrics
	log     *slog.Logger

	known       map[model.Ref][]model.Problem
	unsupported []plan.Unsupported
}

func newReporter(deps Deps) reporter {
	return reporter{events: deps.Events, metrics: deps.Metrics, log: deps.Log, known: map[model.Ref][]model.Problem{}}
}

// problems reports what of the changed Services cannot be honoured.
func (r *reporter) problems(snapshot *model.Snapshot, p *plan.Plan, changed []model.Ref) {
	for _, ref := range changed {
		var now []model.Problem
		if s, ok := p.Services.Get(ref); ok {
			now = s.Problems
		}
		service, _ := snapshot.Services.Get(ref)
		for _, problem := range now {
			if service == nil || slices.Contains(r.known[ref], problem) {
				continue
			}
			r.log.Warn("a part of a Service cannot be honoured", "service", ref, "field", problem.Field, "problem", problem.Message)
			r.events.ServiceWarning(service, reasonProblem, problem.Field+": "+problem.Message)
		}
		if len(now) == 0 {
			delete(r.known, ref)
		} else {
			r.known[ref] = now
		}
	}
	r.metrics.problems.Set(float64(len(r.known)))
}

// failure reports a failed sync; failures counts those in a row.
func (r *reporter) failure(err error, failures int) {
	r.log.Error("cannot make the kernel's rules equal to the plan; trying again", "error", err, "failures", failures)
	if failures == failuresToReport {
		r.events.NodeWarning(reasonSyncFailed, err.Error())
	}
}

// unsupportedBy reports what a backend says it cannot do.
func (r *reporter) unsupportedBy(snapshot *model.Snapshot, report plan.Report) {
	for _, u := range report.Unsupported {
		if !slices.ContainsFunc(r.unsupported, func(known plan.Unsupported) bool { return sameUnsupported(known, u) }) {
			r.explain(snapshot, u)
		}
		r.metrics.unsupported.WithLabelValues(u.Capability).Set(1)
	}
	for _, known := range r.unsupported {
		if !slices.ContainsFunc(report.Unsupported, func(u plan.Unsupported) bool { return u.Capability == known.Capability }) {
			r.metrics.unsupported.DeleteLabelValues(known.Capability)
		}
	}
	r.unsupported = report.Unsupported
}

func sameUnsupported(a, b plan.Unsupported) bool {
	return a.Capability == b.Capability && a.Consequence == b.Consequence && slices.Equal(a.Services, b.Services)
}

func (r *reporter) explain(snapshot *model.Snapshot, u plan.Unsupported) {
	r.log.Warn("this node cannot do all that its Services ask for", "capability", u.Capability,
		"consequence", u.Consequence, "remedy", u.Remedy, "services", len(u.Services))
	message := u.Capability + ": " + u.Consequence + " " + u.Remedy
	if u.Services == nil {
		r.events.NodeWarning(reasonUnsupported, message)
	}
	for _, ref := range u.Services {
		if service, ok := snapshot.Services.Get(ref); ok {
			r.events.ServiceWarning(service, reasonUnsupported, message)
		}
	}
}
