package ingress

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-net/switchyard/internal/events"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

// reasonInForce is the reason of the Event that says that an Ingress is served.
const reasonInForce = "InForce"

// eventEvery is the pause between two Events, so that 10,000 Ingresses with something to say do not drown the API server.
const eventEvery = 20 * time.Millisecond

// recorder is what writes Events: an events.Recorder.
type recorder interface {
	Normal(s events.Subject, reason, message string)
	Warning(s events.Subject, reason, message string)
}

// reports tells users what has become of their objects, by Events. Of several replicas only the leader speaks.
type reports struct {
	events recorder
	log    *slog.Logger
	wake   chan struct{}

	mu sync.Mutex
	// leading is true while this process is the one to speak. Guarded by mu, as is all that follows.
	leading bool
	// view is the snapshot in force, problems what is wrong in it.
	view     *model.Snapshot
	problems map[subject][]route.Problem
	queue    []report
}

// subject is an object that a Problem is about.
type subject struct {
	kind string
	ref  model.Ref
}

type report struct {
	events.Subject
	warning         bool
	reason, message string
}

func newReports(r recorder, log *slog.Logger) *reports {
	return &reports{events: r, log: log, wake: make(chan struct{}, 1), problems: map[subject][]route.Problem{}}
}

// lead says whether this process is the one to speak. A new leader says all that is wrong, and which Ingresses without an address
// are in force: those are new.
func (r *reports) lead(leading bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if leading == r.leading {
		return
	}
	r.leading, r.queue = leading, nil
	if !leading || r.view == nil {
		return
	}
	for of, problems := range r.problems {
		r.warn(of, nil, problems)
	}
	for _, i := range r.view.Ingresses.All() {
		if len(i.Status) == 0 {
			r.serve(i)
		}
	}
}

// applied takes note of a table that is in force: the snapshot it is made of, in what that differs from the one before, and all that
// is wrong in it.
func (r *reports) applied(view *model.Snapshot, changes model.Changes, problems []route.Problem) {
	now := map[subject][]route.Problem{}
	for _, p := range problems {
		of := subject{p.Kind, p.Ref}
		now[of] = append(now[of], p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before, first := r.problems, r.view == nil
	r.view, r.problems = view, now
	if !r.leading {
		return
	}
	for of, problems := range now {
		r.warn(of, before[of], problems)
	}
	for ref := range changes.Ingresses {
		if i, ok := view.Ingresses.Get(ref); ok && (!first || len(i.Status) == 0) {
			r.serve(i)
		}
	}
}

// warn says what of the problems is new. r.mu is held.
func (r *reports) warn(of subject, before, now []route.Problem) {
	known := map[route.Problem]bool{}
	for _, p := range before {
		known[p] = true
	}
	for _, p := range now {
		if !known[p] && of.ref == (model.Ref{}) { // the entry as a whole, which is no object
			known[p] = true
			r.log.Warn("not honoured", "reason", p.Reason, "message", p.Message)
		}
		if !known[p] {
			known[p] = true
			r.say(report{events.Subject{Kind: of.kind, Ref: of.ref, UID: r.uid(of)}, true, p.Reason, p.Message})
		}
	}
}

// serve says that an Ingress is in force, unless it is refused. r.mu is held.
func (r *reports) serve(i *model.Ingress) {
	for _, p := range r.problems[subject{"Ingress", i.Ref}] {
		if p.Denied {
			return
		}
	}
	r.say(report{events.Subject{Kind: "Ingress", Ref: i.Ref, UID: i.UID}, false, reasonInForce, "serves " + served(i)})
}

// served says in a few words what an Ingress asks for.
func served(i *model.Ingress) string {
	hosts, paths := map[string]struct{}{}, 0
	for _, rule := range i.Rules {
		hosts[rule.Host] = struct{}{}
		paths += len(rule.Paths)
	}
	var parts []string
	if len(i.Rules) > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s", counted(paths, "path"), counted(len(hosts), "host")))
	}
	if i.Default != nil {
		parts = append(parts, "a default backend")
	}
	if len(parts) == 0 {
		return "nothing: it has no rules and no default backend"
	}
	return strings.Join(parts, " and ")
}

func counted(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// uid returns that of an object, as far as it is known. r.mu is held.
func (r *reports) uid(of subject) string {
	switch of.kind {
	case "Ingress":
		if i, ok := r.view.Ingresses.Get(of.ref); ok {
			return i.UID
		}
	case "Secret":
		if s, ok := r.view.Secrets.Get(of.ref); ok {
			return s.UID
		}
	case "ConfigMap":
		if c, ok := r.view.ConfigMaps.Get(of.ref); ok {
			return c.UID
		}
	case "Service":
		if s, ok := r.view.Services.Get(of.ref); ok {
			return s.UID
		}
	}
	return ""
}

func (r *reports) say(what report) {
	r.queue = append(r.queue, what)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run records Events until ctx is done.
func (r *reports) run(ctx context.Context) {
	pause := time.NewTicker(eventEvery)
	defer pause.Stop()
	for {
		next, ok := r.take()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-r.wake:
			}
			continue
		}
		if next.warning {
			r.events.Warning(next.Subject, next.reason, next.message)
		} else {
			r.events.Normal(next.Subject, next.reason, next.message)
		}
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

func (r *reports) take() (report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return report{}, false
	}
	next := r.queue[0]
	r.queue = r.queue[1:]
	return next, true
}
