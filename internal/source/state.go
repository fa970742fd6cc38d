package source

import (
	"net/netip"
	"sync"

	"github.com/switchyard-net/switchyard/internal/model"
)

// state is the present snapshot with those who wait for the next one. Feeds write it, subscriptions read it.
type state struct {
	mu   sync.Mutex
	snap model.Snapshot             // guarded by mu; its tables are immutable
	subs map[*Subscription]struct{} // guarded by mu
	// missing are the kinds that were never read completely; until there is none, nothing is handed out. Guarded by mu.
	missing map[Kind]struct{}
	// pods are by address. Guarded by mu.
	pods model.Table[netip.Addr, *model.Pod]
}

func newState(kinds []Kind) *state {
	s := &state{subs: map[*Subscription]struct{}{}, missing: map[Kind]struct{}{}}
	for _, k := range kinds {
		s.missing[k] = struct{}{}
	}
	return s
}

// edit runs fn, which derives the next snapshot in place, and tells the subscriptions. The cost of one edit is that of
// the changes that fn makes.
func (s *state) edit(fn func(*edition)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := edition{state: s, tables: new(model.Edit)}
	fn(&e)
	if e.changed {
		s.snap.Version++
	}
	if !e.changed || len(s.missing) > 0 {
		return
	}
	for sub := range s.subs {
		sub.signal()
	}
}

// edition is one step from a snapshot to the next; it is used under the lock of its state.
type edition struct {
	state   *state
	tables  *model.Edit
	changed bool
}

// complete notes that kind has been read completely.
func (e *edition) complete(kind Kind) {
	if _, ok := e.state.missing[kind]; ok {
		delete(e.state.missing, kind)
		e.changed = true
	}
}

// mark runs note on the pending changes of each subscription.
func (e *edition) mark(note func(*pending)) {
	e.changed = true
	for sub := range e.state.subs {
		if sub.begun {
			note(&sub.pending)
		}
	}
}

// service sets the Service of that name, or removes it where next is nil.
func (e *edition) service(ref model.Ref, _, next *model.Service) {
	t := &e.state.snap.Services
	if next == nil {
		*t = t.Without(ref)
	} else {
		*t = t.WithIn(e.tables, ref, next)
	}
	e.mark(func(p *pending) { p.service(ref) })
}

// slice replaces one slice by another, where nil means that there is none. The two may belong to different Services.
func (e *edition) slice(ref model.Ref, prev, next *model.EndpointSlice) {
	t := &e.state.snap.Slices
	if prev != nil && (next == nil || next.Service != prev.Service) {
		owner := model.Ref{Namespace: ref.Namespace, Name: prev.Service}
		held, _ := t.Get(owner)
		if rest := without(held, ref.Name); len(rest) > 0 {
			*t = t.WithIn(e.tables, owner, rest)
		} else {
			*t = t.Without(owner)
		}
		e.mark(func(p *pending) { p.service(owner) })
	}
	if next != nil {
		owner := model.Ref{Namespace: ref.Namespace, Name: next.Service}
		held, _ := t.Get(owner)
		*t = t.WithIn(e.tables, owner, with(held, next))
		e.mark(func(p *pending) { p.service(owner) })
	}
}

// node sets the Node of that name, or removes it where next is nil.
func (e *edition) node(ref model.Ref, _, next *model.Node) {
	t := &e.state.snap.Nodes
	if next == nil {
		*t = t.Without(ref.Name)
	} else {
		*t = t.WithIn(e.tables, ref.Name, next)
	}
	e.mark(func(p *pending) { p.node(ref.Name) })
}

// namespace sets the Namespace of that name, or removes it where next is nil.
func (e *edition) namespace(ref model.Ref, _, next *model.Namespace) {
	t := &e.state.snap.Namespaces
	if next == nil {
		*t = t.Without(ref.Name)
	} else {
		*t = t.With(ref.Name, next)
	}
	e.mark(func(p *pending) { p.Namespaces = true })
}

// serviceCIDR sets the ServiceCIDR of that name, or removes it where next is nil.
func (e *edition) serviceCIDR(ref model.Ref, _, next *model.ServiceCIDR) {
	t := &e.state.snap.ServiceCIDRs
	if next == nil {
		*t = t.Without(ref.Name)
	} else {
		*t = t.WithIn(e.tables, ref.Name, next)
	}
	e.mark(func(p *pending) { p.ServiceCIDRs = true })
}
