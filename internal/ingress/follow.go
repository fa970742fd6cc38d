package ingress

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// follower keeps the engine at the newest snapshot. It belongs to one goroutine.
type follower struct {
	*Entry
	view *model.Snapshot
	// pending is in what view differs from what the last table was made of.
	pending model.Changes
	// table is the newest, with what is wrong in it, also if it is not in force. cannot is what the engine says of the one in force.
	table            *route.Table
	problems, cannot []route.Problem
	// unsaid are the changes of tables that the engine refused.
	unsaid model.Changes
	begun  time.Time
}

// step is a result of Subscription.Next.
type step struct {
	snap    *model.Snapshot
	changes model.Changes
}

// follow makes a table of each snapshot, or of several together, and puts it in force.
func (e *Entry) follow(ctx context.Context) error {
	f := &follower{Entry: e, pending: model.Changes{All: true}, unsaid: model.Changes{All: true}}
	steps := make(chan step)
	go func() {
		for {
			snap, changes, err := e.deps.Snapshots.Next(ctx)
			if err != nil {
				return
			}
			select {
			case steps <- step{snap, changes}:
			case <-ctx.Done():
				return
			}
		}
	}()
	var due <-chan time.Time // nil: nothing is to be done
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-steps:
			f.look(s)
		case <-due:
		}
		due = nil
		if again := f.act(ctx); again > 0 {
			due = time.After(again)
		}
	}
}

// look takes note of a snapshot.
func (f *follower) look(s step) {
	if f.view == nil {
		f.begun = time.Now()
	}
	f.holdSettings(s)
	view, changes := f.selection.next(s.snap, s.changes)
	f.view = view
	f.pending = together(f.pending, changes)
	f.metrics.ingresses.Set(float64(view.Ingresses.Len()))
	f.metrics.waiting.Set(float64(f.selection.waiting()))
	if f.deps.Status != nil {
		changes.IngressStatuses = s.changes.IngressStatuses
		f.deps.Status.Follow(view.Ingresses, s.snap, changes)
	}
}

// The holders of what is needed beside Ingresses; no Ingress is without a namespace, as they are.
const (
	holderFlags    = "flags"
	holderSettings = "settings"
)

// holdSettings asks for what flags name, and what the ConfigMap of the entry names.
func (f *follower) holdSettings(s step) {
	if f.view == nil {
		configMaps := f.cfg.ConfigMaps
		if f.cfg.ConfigMap != (model.Ref{}) {
			configMaps = append(slices.Clone(configMaps), f.cfg.ConfigMap)
		}
		f.selection.hold(model.Ref{Name: holderFlags}, needsOf(f.cfg.Secrets, configMaps))
	}
	if m, ok := s.snap.ConfigMaps.Get(f.cfg.ConfigMap); ok {
		f.selection.hold(model.Ref{Name: holderSettings}, needsOf(nil, settings.GlobalReferences(m)))
	}
}

// act makes a table if there is reason to, and puts it in force. It returns when to act again without news, 0: not.
func (f *follower) act(ctx context.Context) time.Duration {
	if rest := f.rest(); rest > 0 {
		return rest
	}
	before := f.table
	switch {
	case matters(f.pending):
		f.update()
	case !matters(f.unsaid):
		return 0
	}
	if rest := f.rest(); rest > 0 {
		return rest // the settings that were read now ask for more
	}
	if force := f.InForce(); f.table == before && force != nil && force.Table == before {
		f.settle() // the change concerns nobody here
		return 0
	}
	begun := time.Now()
	cannot, err := f.deps.Engine.Apply(ctx, f.table)
	if err != nil {
		return f.refused(ctx, err)
	}
	f.metrics.apply.Observe(time.Since(begun).Seconds())
	f.cannot = cannot
	f.settle()
	pause(ctx, f.cfg.Pace)
	return 0
}

// rest returns for how long the first table may still wait for what was not read yet.
func (f *follower) rest() time.Duration {
	if f.InForce() != nil || f.selection.complete(f.view) {
		return 0
	}
	rest := patience - time.Since(f.begun)
	if rest <= 0 {
		f.deps.Log.Warn("some Secrets or ConfigMaps cannot be read; serving without what needs them", "ingresses", f.selection.waiting())
	}
	return rest
}

// update makes a table of the present view.
func (f *follower) update() {
	begun := time.Now()
	f.table, f.problems = f.deps.Routes.Update(f.view, f.pending)
	f.metrics.build.Observe(time.Since(begun).Seconds())
	if _, settings := f.pending.ConfigMaps[f.cfg.ConfigMap]; settings || f.pending.All {
		f.selection.recheck()
	}
	f.unsaid = together(f.unsaid, f.pending)
	f.pending = model.Changes{}
}

// settle takes note that the table is in force.
func (f *follower) settle() {
	now, problems := time.Now(), slices.Concat(f.problems, f.cannot)
	f.metrics.applied(now, problems)
	first := f.InForce() == nil
	f.Entry.table.Store(&Force{Table: f.table, View: f.view, Problems: problems, Since: now})
	f.reports.applied(f.view, f.unsaid, problems)
	f.unsaid = model.Changes{}
	if first {
		f.deps.Log.Info("in force", "ingresses", f.view.Ingresses.Len(), "after", time.Since(f.begun).Round(time.Millisecond))
		f.once.Do(func() { close(f.inForce) })
		if f.deps.Settled != nil {
			f.deps.Settled()
		}
	}
}

// refused takes note that the engine has refused the table.
func (f *follower) refused(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	f.metrics.refused.Inc()
	f.metrics.lastGood.Set(0)
	f.deps.Log.Error("the engine refuses the routes; the ones before stay in force", "error", err)
	return retryRefused
}

// matters reports whether a table can differ because of changes.
func matters(c model.Changes) bool {
	return c.All || len(c.Services) > 0 || len(c.Nodes) > 0 || c.Namespaces || c.IngressClasses || len(c.Ingresses) > 0 ||
		len(c.Secrets) > 0 || len(c.ConfigMaps) > 0
}

// together returns the changes of two steps as one.
func together(a, b model.Changes) model.Changes {
	return model.Changes{
		All:            a.All || b.All,
		Services:       union(a.Services, b.Services),
		Nodes:          union(a.Nodes, b.Nodes),
		ServiceCIDRs:   a.ServiceCIDRs || b.ServiceCIDRs,
		Namespaces:     a.Namespaces || b.Namespaces,
		Ingresses:      union(a.Ingresses, b.Ingresses),
		IngressClasses: a.IngressClasses || b.IngressClasses,
		Secrets:        union(a.Secrets, b.Secrets),
		ConfigMaps:     union(a.ConfigMaps, b.ConfigMaps),
	}
}

func union[K comparable](a, b map[K]struct{}) map[K]struct{} {
	if len(a) == 0 {
		return b
	}
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// pause waits for d or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
