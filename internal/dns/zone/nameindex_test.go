package zone

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/switchyard-net/switchyard/internal/model"
)

// TestNameIndex edits an index at random, with hashes that often collide in page, place or altogether, beside a map. Earlier indexes
// must stay as they were.
func TestNameIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var index nameIndex
	want := map[int]*entry{}
	type past struct {
		index nameIndex
		want  map[int]*entry
	}
	var kept []past
	const names = 400
	for step := range 300 {
		edit := nameEdit{nameIndex: index}
		next := map[int]*entry{}
		for n, e := range want {
			next[n] = e
		}
		grow := step/50%2 == 0
		edited := map[int]bool{}
		for range rng.IntN(20) {
			n := rng.IntN(names)
			if edited[n] {
				continue
			}
			edited[n] = true
			old := next[n]
			switch {
			case grow || rng.IntN(4) == 0:
				next[n] = &entry{ref: nameOf(n)}
				edit.put(hashOf(n), old, next[n])
			case old != nil:
				delete(next, n)
				edit.put(hashOf(n), old, nil)
			}
		}
		index, want = edit.nameIndex, next
		kept = append(kept, past{index, want})
	}
	for step, p := range kept {
		taken := 0
		for i := range p.index.pages {
			page := &p.index.pages[i]
			taken += page.taken
			if size := len(page.places); 4*page.taken > 3*size || size > leastPlaces && size > 16*max(1, page.taken) {
				t.Errorf("step %d: a page has %d of %d places taken", step, page.taken, size)
			}
		}
		if taken != len(p.want) {
			t.Errorf("step %d: %d places taken, want %d", step, taken, len(p.want))
		}
		for n := range names {
			if got := p.index.find(hashOf(n), appendKey(nil, nameOf(n))); got != p.want[n] {
				t.Fatalf("step %d, name %d: found %v, want %v", step, n, got, p.want[n])
			}
		}
	}
}

func nameOf(n int) model.Ref { return model.Ref{Namespace: "default", Name: fmt.Sprintf("name-%d", n)} }

// hashOf gives every hash to two names, in three pages.
func hashOf(n int) uint32 { return uint32(n%3)<<(32-indexBits) | uint32(n/2)*7 }
