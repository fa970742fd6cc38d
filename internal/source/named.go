package source

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/switchyard-net/switchyard/internal/model"
)

const (
	// defaultNamedWatches bounds the watches of single objects of a kind: each costs 65 KB here, and some 30 in the API server.
	defaultNamedWatches = 500
	// pollEvery is the pause between two questions for objects that have no watch: with 10,000 Secrets a change is seen within
	// four minutes, for 50 small requests a second, which the API server answers from its cache.
	pollEvery = 20 * time.Millisecond
	// readAtOnce is how many objects are asked for at the same time, where they were not read yet.
	readAtOnce = 16
)

// namedKind is how objects of a kind are read by name.
type namedKind struct {
	kind Kind
	// in returns the kind in a namespace.
	in func(namespace string) resource
	// put writes an object into the next snapshot; o is nil where there is none, and problem says why.
	put func(e *edition, ref model.Ref, o runtime.Object, problem string)
	// forget takes it out of the next snapshot.
	forget func(e *edition, ref model.Ref)
}

// named reads single objects of a kind for as long as somebody wants them. Nothing is ever asked for without a name, so that an
// identity may be allowed no more than that, and what nobody refers to never enters the process.
//
// Each is read as soon as it is wanted. The first of them then have a watch each; those beyond Config.NamedWatches are asked for in
// turn, and get a watch when one is free.
type named struct {
	namedKind
	limit   int
	metrics kindMetrics
	state   *state
	wake    chan struct{}
	feeds   sync.WaitGroup

	mu sync.Mutex
	// wanted are the present wishes; one that is not among them any more is skipped wherever it still stands in line. Guarded by mu,
	// as is all that follows.
	wanted  map[model.Ref]*wish
	watched int
	// fresh are to be read for the first time, turn are those to ask for in turn.
	fresh, turn []*wish
}

// wish is an object that somebody wants.
type wish struct {
	ref    model.Ref
	known  bool
	cancel context.CancelFunc // ends its watch; nil: there is none
}

func newNamed(kind namedKind, cfg Config, m *metrics, st *state) *named {
	return &named{
		namedKind: kind, limit: cfg.NamedWatches, metrics: m.of(kind.kind), state: st,
		wake: make(chan struct{}, 1), wanted: map[model.Ref]*wish{},
	}
}

// Want asks for an object of kind Secrets or ConfigMaps by name until Drop. The snapshots have it as soon as it was read, also if it
// does not exist or may not be read.
func (s *Source) Want(kind Kind, ref model.Ref) { s.named[kind].want(ref) }

// Drop takes back Want: later snapshots do not have the object.
func (s *Source) Drop(kind Kind, ref model.Ref) { s.named[kind].drop(ref) }

func (n *named) want(ref model.Ref) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wanted[ref] != nil {
		return
	}
	w := &wish{ref: ref}
	n.wanted[ref] = w
	n.fresh = append(n.fresh, w)
	n.metrics.objects(len(n.wanted))
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *named) drop(ref model.Ref) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.wanted[ref]
	if w == nil {
		return
	}
	delete(n.wanted, ref)
	n.state.edit(func(e *edition) { n.forget(e, ref) })
	n.metrics.objects(len(n.wanted))
	if w.cancel != nil {
		w.cancel()
		n.watched-- // whose turn is next gets the watch
	}
}

// run reads what is wanted until ctx is done.
func (n *named) run(ctx context.Context) {
	n.poll(ctx)
	n.feeds.Wait()
}

// next decides how an object is followed that was just read: by a watch from that version on, or in turn. version is "" where it
// could not be read. n.mu is held.
func (n *named) next(ctx context.Context, w *wish, version string) {
	if n.wanted[w.ref] != w {
		return
	}
	if version == "" || n.watched >= n.limit {
		n.turn = append(n.turn, w)
		return
	}
	n.watched++
	ctx, w.cancel = context.WithCancel(ctx)
	f := n.feed(w.ref)
	f.version = version
	n.feeds.Go(func() { f.run(ctx) })
}

// feed returns what follows one object.
func (n *named) feed(ref model.Ref) *feed {
	f := &feed{
		resource: n.in(ref.Namespace), log: slog.New(slog.DiscardHandler), metrics: n.metrics, stream: true,
		store: &single{named: n, ref: ref}, onFailure: func(err error) { n.failed(ref, err) },
	}
	f.field = nameIs(ref)
	return f
}

func nameIs(ref model.Ref) string {
	return fields.OneTermEqualSelector(metav1.ObjectNameField, ref.Name).String()
}

// take takes the present state of an object; nil: there is none.
func (n *named) take(ref model.Ref, o runtime.Object) {
	problem := ""
	if o == nil {
		problem = "does not exist"
	}
	n.write(ref, o, problem)
}

// failed takes note that an object cannot be read. What was read once stays in use.
func (n *named) failed(ref model.Ref, err error) {
	n.mu.Lock()
	w := n.wanted[ref]
	known := w != nil && w.known
	n.mu.Unlock()
	if known || !apierrors.IsForbidden(err) {
		return
	}
	n.write(ref, nil, fmt.Sprintf("may not be read; allow this identity to list and watch %s of that name", n.kind))
}

func (n *named) write(ref model.Ref, o runtime.Object, problem string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.wanted[ref]
	if w == nil {
		return // dropped meanwhile
	}
	w.known = true
	n.state.edit(func(e *edition) { n.put(e, ref, o, problem) })
}

// poll reads objects for the first time, and asks in turn for those that have no watch, until ctx is done.
func (n *named) poll(ctx context.Context) {
	var wait backoff
	for ctx.Err() == nil {
		if batch := n.nextFresh(); len(batch) > 0 {
			if n.readAll(ctx, batch) {
				wait.reset()
			} else {
				sleep(ctx, wait.next())
			}
			continue
		}
		w := n.nextInTurn()
		if w == nil {
			select {
			case <-n.wake:
			case <-ctx.Done():
			}
			continue
		}
		version, _ := n.read(ctx, w.ref, "0") // a failure is counted, and it is asked for again
		n.mu.Lock()
		n.next(ctx, w, version)
		n.mu.Unlock()
		sleep(ctx, pollEvery)
	}
}

// readAll reads objects for the first time, and reports whether all were: others come again.
func (n *named) readAll(ctx context.Context, batch []*wish) bool {
	versions, errs := make([]string, len(batch)), make([]error, len(batch))
	var reads sync.WaitGroup
	for i, w := range batch {
		reads.Go(func() { versions[i], errs[i] = n.read(ctx, w.ref, "") })
	}
	reads.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	all := true
	for i, w := range batch {
		if errs[i] == nil || apierrors.IsForbidden(errs[i]) {
			n.next(ctx, w, versions[i])
		} else {
			n.fresh, all = append(n.fresh, w), false
		}
	}
	return all
}

// nextFresh takes wishes to be read for the first time out of the line.
func (n *named) nextFresh() []*wish {
	n.mu.Lock()
	defer n.mu.Unlock()
	var batch []*wish
	for len(n.fresh) > 0 && len(batch) < readAtOnce {
		if w := n.fresh[0]; n.wanted[w.ref] == w {
			batch = append(batch, w)
		}
		n.fresh = n.fresh[1:]
	}
	return batch
}

// nextInTurn takes the wish to ask for next out of the line; nil: there is none.
func (n *named) nextInTurn() *wish {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.turn) > 0 {
		w := n.turn[0]
		n.turn = n.turn[1:]
		if n.wanted[w.ref] == w {
			return w
		}
	}
	return nil
}

// read asks for the state of an object: as it is for version "", as the API server's cache has it for "0". It returns the version
// of what it has read.
func (n *named) read(ctx context.Context, ref model.Ref, version string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	p, err := n.in(ref.Namespace).list(ctx, metav1.ListOptions{FieldSelector: nameIs(ref), ResourceVersion: version})
	if err != nil {
		n.metrics.failure(err)
		n.failed(ref, err)
		return "", fmt.Errorf("list %s %s: %w", n.kind, ref, err)
	}
	n.metrics.contact(time.Now())
	if len(p.items) == 0 {
		n.take(ref, nil)
	} else {
		n.take(ref, p.items[0])
	}
	return p.version, nil
}

// single is the store of a feed that follows one object.
type single struct {
	named *named
	ref   model.Ref
	fresh runtime.Object
}

func (s *single) begin() { s.fresh = nil }
func (s *single) list(ref model.Ref, o runtime.Object) {
	if ref == s.ref {
		s.fresh = o
	}
}

func (s *single) unlist(ref model.Ref) {
	if ref == s.ref {
		s.fresh = nil
	}
}

func (s *single) commit() {
	s.named.take(s.ref, s.fresh)
	s.fresh = nil
}

func (s *single) set(ref model.Ref, o runtime.Object) {
	if ref == s.ref {
		s.named.take(ref, o)
	}
}

func (s *single) unset(ref model.Ref) {
	if ref == s.ref {
		s.named.take(ref, nil)
	}
}

// len returns the number of all objects of the kind: that is what the metric counts.
func (s *single) len() int {
	s.named.mu.Lock()
	defer s.named.mu.Unlock()
	return len(s.named.wanted)
}
