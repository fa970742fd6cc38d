package ingress

import (
	"maps"
	"slices"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/source"
)

// wants is who reads objects by name: a source.Source.
type wants interface {
	Want(source.Kind, model.Ref)
	Drop(source.Kind, model.Ref)
}

// need is a Secret or a ConfigMap.
type need struct {
	kind source.Kind
	ref  model.Ref
}

func (n need) known(snap *model.Snapshot) bool {
	if n.kind == source.ConfigMaps {
		_, known := snap.ConfigMaps.Get(n.ref)
		return known
	}
	_, known := snap.Secrets.Get(n.ref)
	return known
}

// needsOf returns Secrets and ConfigMaps as needs.
func needsOf(secrets, configMaps []model.Ref) []need {
	var out []need
	for _, ref := range secrets {
		out = append(out, need{source.Secrets, ref})
	}
	for _, ref := range configMaps {
		out = append(out, need{source.ConfigMaps, ref})
	}
	return out
}

// selection derives from each snapshot the one that routes are made of: with the Ingresses that are ours, and of these only what has
// the Secrets and ConfigMaps that it names. It belongs to one goroutine.
type selection struct {
	classes    Classes
	namespaces func(model.Labels) bool // nil: all
	references func(*model.Ingress) []need
	wants      wants

	owned owned
	// ours are the Ingresses as they are handed on.
	ours model.Table[model.Ref, *model.Ingress]
	// needs are those of ours, asked those of newer states that wait for them.
	needs, asked map[model.Ref][]need
	// users counts who needs an object.
	users map[need]int
}

func newSelection(classes Classes, namespaces func(model.Labels) bool, references func(*model.Ingress) []need, w wants) *selection {
	return &selection{
		classes: classes, namespaces: namespaces, references: references, wants: w,
		needs: map[model.Ref][]need{}, asked: map[model.Ref][]need{}, users: map[need]int{},
	}
}

// waiting returns how many Ingresses wait for what they name to be read.
func (s *selection) waiting() int { return len(s.asked) }

// complete reports whether everything that was asked for was read.
func (s *selection) complete(snap *model.Snapshot) bool {
	for n := range s.users {
		if !n.known(snap) {
			return false
		}
	}
	return true
}

// hold asks for objects for as long as the entry runs, or until hold is called for the same holder again.
func (s *selection) hold(holder model.Ref, needs []need) {
	s.acquire(needs)
	s.release(s.needs, holder)
	s.needs[holder] = needs
}

// recheck asks for what our Ingresses name, after settings have changed that it depends on.
func (s *selection) recheck() {
	for ref, i := range s.ours.All() {
		if needs := s.references(i); !slices.Equal(needs, s.needs[ref]) {
			s.hold(ref, needs)
		}
	}
}

// next returns the snapshot to make routes of, and in what it differs from the one that next returned before.
func (s *selection) next(snap *model.Snapshot, changes model.Changes) (*model.Snapshot, model.Changes) {
	touched := changes.Ingresses
	if changes.All || changes.IngressClasses || changes.Namespaces && s.namespaces != nil {
		s.owned = s.classes.in(snap)
		touched = map[model.Ref]struct{}{}
		for ref := range snap.Ingresses.All() {
			touched[ref] = struct{}{}
		}
		for ref := range s.ours.All() {
			touched[ref] = struct{}{}
		}
	} else if len(changes.Secrets)+len(changes.ConfigMaps) > 0 && len(s.asked) > 0 {
		touched = maps.Clone(touched)
		if touched == nil {
			touched = map[model.Ref]struct{}{}
		}
		for ref := range s.asked {
			touched[ref] = struct{}{}
		}
	}
	changed := map[model.Ref]struct{}{}
	for ref := range touched {
		if s.look(snap, ref) {
			changed[ref] = struct{}{}
		}
	}
	out := *snap
	out.Ingresses = s.ours
	changes.Ingresses = changed
	return &out, changes
}

// look brings one Ingress up to date, and reports whether what is handed on has changed.
func (s *selection) look(snap *model.Snapshot, ref model.Ref) bool {
	ingress, _ := snap.Ingresses.Get(ref)
	before, served := s.ours.Get(ref)
	if ingress == nil || !s.serves(snap, ingress) {
		s.release(s.asked, ref)
		s.release(s.needs, ref)
		s.ours = s.ours.Without(ref)
		return served
	}
	if before == ingress {
		s.release(s.asked, ref) // a newer state was taken back
		return false
	}
	needs := s.references(ingress)
	s.acquire(needs)
	s.release(s.asked, ref)
	for _, n := range needs {
		if !n.known(snap) {
			s.asked[ref] = needs
			return false
		}
	}
	s.release(s.needs, ref)
	if len(needs) > 0 {
		s.needs[ref] = needs
	}
	s.ours = s.ours.With(ref, ingress)
	return true
}

func (s *selection) serves(snap *model.Snapshot, i *model.Ingress) bool {
	if !s.owned.has(i) {
		return false
	}
	if s.namespaces == nil {
		return true
	}
	namespace, ok := snap.Namespaces.Get(i.Ref.Namespace)
	return ok && s.namespaces(namespace.Labels)
}

func (s *selection) acquire(needs []need) {
	for _, n := range needs {
		s.users[n]++
		if s.users[n] == 1 {
			s.wants.Want(n.kind, n.ref)
		}
	}
}

// release takes back what somebody needs by one of the two maps.
func (s *selection) release(of map[model.Ref][]need, holder model.Ref) {
	for _, n := range of[holder] {
		s.users[n]--
		if s.users[n] == 0 {
			delete(s.users, n)
			s.wants.Drop(n.kind, n.ref)
		}
	}
	delete(of, holder)
}
