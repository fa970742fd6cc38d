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
	// defaultNamedWatches bounds the watches of single objects of a kind: each costs some 30 KB here and as much in the API server.
	defaultNamedWatches = 1000
	// pollEvery is the pause between two questions for objects that have no watch: with 10,000 Secrets a change is seen within
	// three minutes, for 50 small requests a second, which the API server answers from its cache.
	pollEvery = 20 * time.Millisecond
	// pollAtOnce is how many objects are asked for at the same time, where they were not read yet.
	pollAtOnce = 16
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
// The first of them have a watch each; those beyond Config.NamedWatches are asked for in turn, and get a watch when one is free.
type named struct {
	namedKind
	limit   int
	metrics kindMetrics
	state   *state
	wake    chan struct{}

	mu sync.Mutex
	// ctx is that of run, nil before. Guarded by mu, as is all that follows.
	ctx     context.Context
	feeds   sync.WaitGroup
	wanted  map[model.Ref]*wish
	watched int
	// fresh are to be read for the first time, turn are those to ask for in turn; names no longer polled are skipped.
	fresh, turn []model.Ref
}

// wish is an object that somebody wants.
type wish struct {
	polled, known bool
	cancel        context.CancelFunc // nil: no watch
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
	n.wanted[ref] = &wish{}
	if n.ctx != nil {
		n.start(ref)
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
	if w.cancel == nil {
		return
	}
	w.cancel()
	n.watched--
	if n.ctx == nil {
		return
	}
	for i, next := range n.turn { // one that is asked for in turn gets the watch
		if w := n.wanted[next]; w != nil && w.polled {
			w.polled, n.turn = false, n.turn[i+1:]
			n.start(next)
			return // where all are being read at this moment, again sees to it
		}
	}
}

// run reads what is wanted until ctx is done.
func (n *named) run(ctx context.Context) {
	n.mu.Lock()
	n.ctx = ctx
	for ref := range n.wanted {
		n.start(ref)
	}
	n.mu.Unlock()
	n.poll(ctx)
	n.mu.Lock()
	n.ctx = nil // no feed begins any more
	n.mu.Unlock()
	n.feeds.Wait()
}

// start gives an object a watch, or a place among those that are asked for in turn; n.mu is held.
func (n *named) start(ref model.Ref) {
	w := n.wanted[ref]
	n.metrics.objects(len(n.wanted))
	if n.watched >= n.limit {
		w.polled = true
		n.fresh = append(n.fresh, ref)
		select {
		case n.wake <- struct{}{}:
		default:
		}
		return
	}
	n.watched++
	ctx, cancel := context.WithCancel(n.ctx)
	w.cancel = cancel
	f := n.feed(ref)
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

// poll asks in turn for the objects that have no watch, until ctx is done.
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
		ref, ok := n.nextInTurn()
		if !ok {
			select {
			case <-n.wake:
			case <-ctx.Done():
			}
			continue
		}
		_ = n.read(ctx, ref, "0") // it is counted, and asked for again
		n.mu.Lock()
		n.again(ref)
		n.mu.Unlock()
		sleep(ctx, pollEvery)
	}
}

// readAll reads objects for the first time, and reports whether all were: others come again.
func (n *named) readAll(ctx context.Context, batch []model.Ref) bool {
	errs := make([]error, len(batch))
	var reads sync.WaitGroup
	for i, ref := range batch {
		reads.Go(func() { errs[i] = n.read(ctx, ref, "") })
	}
	reads.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	all := true
	for i, ref := range batch {
		if errs[i] == nil || apierrors.IsForbidden(errs[i]) {
			n.again(ref)
		} else {
			n.fresh, all = append(n.fresh, ref), false
		}
	}
	return all
}

// again puts an object that was asked for back in line, or gives it a watch that became free meanwhile; n.mu is held.
func (n *named) again(ref model.Ref) {
	w := n.wanted[ref]
	if w == nil || !w.polled {
		return
	}
	if n.watched < n.limit && n.ctx.Err() == nil {
		w.polled = false
		n.start(ref)
		return
	}
	n.turn = append(n.turn, ref)
}

func (n *named) nextFresh() []model.Ref {
	n.mu.Lock()
	defer n.mu.Unlock()
	batch := n.fresh[:min(pollAtOnce, len(n.fresh))]
	n.fresh = n.fresh[len(batch):]
	return batch
}

// nextInTurn returns the object to ask for next.
func (n *named) nextInTurn() (model.Ref, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.turn) > 0 {
		ref := n.turn[0]
		n.turn = n.turn[1:]
		if w := n.wanted[ref]; w != nil && w.polled {
			return ref, true
		}
	}
	return model.Ref{}, false
}

// read asks for the state of an object: as it is for version "", as the API server's cache has it for "0".
func (n *named) read(ctx context.Context, ref model.Ref, version string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	p, err := n.in(ref.Namespace).list(ctx, metav1.ListOptions{FieldSelector: nameIs(ref), ResourceVersion: version})
	if err != nil {
		n.metrics.failure(err)
		n.failed(ref, err)
		return fmt.Errorf("list %s %s: %w", n.kind, ref, err)
	}
	n.metrics.contact(time.Now())
	if len(p.items) == 0 {
		n.take(ref, nil)
		return nil
	}
	n.take(ref, p.items[0])
	return nil
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
