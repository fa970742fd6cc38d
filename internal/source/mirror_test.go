package source

import (
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/switchyard-net/switchyard/internal/model"
)

// TestChangesWhileTheStateIsRead covers objects that are changed or deleted between their part of the state and its end.
func TestChangesWhileTheStateIsRead(t *testing.T) {
	st := newState([]Kind{EndpointSlices})
	m := sliceMirror(st)
	list := func(s *discoveryv1.EndpointSlice) { m.list(refOf(s), s) }
	unusable := testSlice("loses-label", "")
	unusable.Labels = nil
	m.begin()
	list(testSlice("deleted", "a", "10.0.0.1"))
	list(testSlice("loses-label", "a", "10.0.0.2"))
	list(testSlice("changed", "a", "10.0.0.3"))
	m.unlist(refOf(testSlice("deleted", "")))
	list(unusable)
	list(testSlice("changed", "b", "10.0.0.4"))
	m.commit()
	if n := len(contentsOf(&st.snap).Slices[model.Ref{Namespace: "default", Name: "a"}]); n != 0 {
		t.Errorf("Service a has %d slices, want none", n)
	}
	got := contentsOf(&st.snap).Slices[model.Ref{Namespace: "default", Name: "b"}]
	if len(got) != 1 || got[0].Endpoints[0].Addr.String() != "10.0.0.4" {
		t.Errorf("slices of Service b: %+v", got)
	}

	sub := &Subscription{state: st, wake: make(chan struct{}, 1), begun: true}
	st.subs[sub] = struct{}{}
	m.begin()
	list(testSlice("changed", "c", "10.0.0.5"))
	list(testSlice("changed", "b", "10.0.0.4")) // and back to what is held
	m.commit()
	if !sub.pending.empty() {
		t.Errorf("changes were reported where nothing differs: %+v", sub.pending)
	}
}
