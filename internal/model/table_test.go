package model

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTableBehavesLikeMap drives a table and a Go map through the same random history and compares them,
// and checks that no earlier version of the table was touched.
func TestTableBehavesLikeMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var table Table[int, int]
	want := map[int]int{}
	var earlier Table[int, int]
	var wantEarlier map[int]int
	for step := range 20000 {
		key := rng.IntN(2000)
		if rng.IntN(3) == 0 {
			table = table.Without(key)
			delete(want, key)
		} else {
			table = table.With(key, step)
			want[key] = step
		}
		if step == 10000 {
			earlier, wantEarlier = table, maps.Clone(want)
		}
	}
	for name, c := range map[string]struct {
		table Table[int, int]
		want  map[int]int
	}{"now": {table, want}, "earlier": {earlier, wantEarlier}} {
		if diff := cmp.Diff(c.want, maps.Collect(c.table.All())); diff != "" {
			t.Errorf("%s: contents (-want +got):\n%s", name, diff)
		}
		if c.table.Len() != len(c.want) {
			t.Errorf("%s: Len() = %d, want %d", name, c.table.Len(), len(c.want))
		}
		for k, v := range c.want {
			if got, ok := c.table.Get(k); !ok || got != v {
				t.Errorf("%s: Get(%d) = %d, %v; want %d", name, k, got, ok, v)
			}
		}
	}
}

// TestTableEditLeavesEarlierTablesAlone fills tables in edits, each from the table that the edit before left behind.
func TestTableEditLeavesEarlierTablesAlone(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var table Table[int, int]
	want := map[int]int{}
	type version struct {
		table Table[int, int]
		want  map[int]int
	}
	var versions []version
	for range 30 {
		edit := new(Edit)
		for step := range 200 {
			key := rng.IntN(1000)
			if rng.IntN(5) == 0 {
				table = table.Without(key)
				delete(want, key)
			} else {
				table = table.WithIn(edit, key, step)
				want[key] = step
			}
		}
		versions = append(versions, version{table, maps.Clone(want)})
	}
	for i, v := range versions {
		if diff := cmp.Diff(v.want, maps.Collect(v.table.All())); diff != "" || v.table.Len() != len(v.want) {
			t.Errorf("table of edit %d, of length %d (-want +got):\n%s", i, v.table.Len(), diff)
		}
	}
}

// TestTableKeepsCollidingHashesApart builds branches by hand, since no caller can choose a hash.
func TestTableKeepsCollidingHashesApart(t *testing.T) {
	b := &branch[string, int]{}
	b, _ = b.with(nil, entry[string, int]{"a", 1}, 7, 0)
	b, _ = b.with(nil, entry[string, int]{"b", 2}, 7, 0)
	b, _ = b.with(nil, entry[string, int]{"c", 3}, 7|1<<60, 0)
	got := map[string]int{}
	b.all(func(k string, v int) bool { got[k] = v; return true })
	if diff := cmp.Diff(map[string]int{"a": 1, "b": 2, "c": 3}, got); diff != "" {
		t.Fatalf("contents (-want +got):\n%s", diff)
	}
	b, removed := b.without("a", 7, 0)
	if !removed {
		t.Fatal("a was not removed")
	}
	got = map[string]int{}
	b.all(func(k string, v int) bool { got[k] = v; return true })
	if diff := cmp.Diff(map[string]int{"b": 2, "c": 3}, got); diff != "" {
		t.Fatalf("after removal (-want +got):\n%s", diff)
	}
}
