package source

import (
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/switchyard-net/switchyard/internal/model"
)

// mirror holds the objects of one kind as last read, each as a pointer to its model value; nil stands for none.
// It is used by one goroutine.
type mirror[V any] struct {
	state *state
	kind  Kind
	// convert returns the value of an API object; nil if none is kept.
	convert func(runtime.Object) *V
	// put writes the change of one object into the next snapshot.
	put  func(e *edition, ref model.Ref, prev, next *V)
	held map[model.Ref]*V
	// fresh is the complete state while it is being read; nil at other times.
	fresh *listing[V]
}

// listing is a complete state on its way in. Of what is held already only the name is kept, so that a list after an
// outage costs the memory of its differences.
type listing[V any] struct {
	seen    map[model.Ref]struct{}
	differs map[model.Ref]*V
}

// begin starts to read a complete state; what was read of an earlier one is forgotten.
func (m *mirror[V]) begin() {
	m.fresh = &listing[V]{seen: make(map[model.Ref]struct{}, len(m.held)), differs: map[model.Ref]*V{}}
}

// list takes one object of a complete state.
func (m *mirror[V]) list(ref model.Ref, o runtime.Object) {
	m.unlist(ref)
	v := m.convert(o)
	if v == nil {
		return
	}
	m.fresh.seen[ref] = struct{}{}
	if !reflect.DeepEqual(m.held[ref], v) {
		m.fresh.differs[ref] = v
	}
}

// unlist takes back what list took: the object changed or went while the state was being read.
func (m *mirror[V]) unlist(ref model.Ref) {
	delete(m.fresh.seen, ref)
	delete(m.fresh.differs, ref)
}

// commit makes the complete state the present one, in one step.
func (m *mirror[V]) commit() {
	fresh := m.fresh
	m.fresh = nil
	m.state.edit(func(e *edition) {
		for ref := range m.held {
			if _, ok := fresh.seen[ref]; !ok {
				m.change(e, ref, nil)
			}
		}
		for ref, v := range fresh.differs {
			m.change(e, ref, v)
		}
		e.complete(m.kind)
	})
}

// set takes the new state of one object.
func (m *mirror[V]) set(ref model.Ref, o runtime.Object) {
	v := m.convert(o)
	if reflect.DeepEqual(m.held[ref], v) {
		return
	}
	m.state.edit(func(e *edition) { m.change(e, ref, v) })
}

// unset removes an object.
func (m *mirror[V]) unset(ref model.Ref) {
	if m.held[ref] == nil {
		return
	}
	m.state.edit(func(e *edition) { m.change(e, ref, nil) })
}

func (m *mirror[V]) change(e *edition, ref model.Ref, next *V) {
	prev := m.held[ref]
	if next == nil {
		delete(m.held, ref)
	} else {
		m.held[ref] = next
	}
	m.put(e, ref, prev, next)
}

func (m *mirror[V]) len() int { return len(m.held) }
