package model

import (
	"hash/maphash"
	"iter"
	"math/bits"
	"slices"
)

// Table is an immutable map: With and Without return a new table that shares nearly everything with the old one,
// in O(log32 n) time and memory. The zero Table is empty and ready to use.
//
// It is a hash array mapped trie (P. Bagwell, Ideal Hash Trees, 2001).
type Table[K comparable, V any] struct {
	root *branch[K, V]
	seed maphash.Seed
	len  int
}

const (
	tableBits = 5 // children per branch: 1 << tableBits
	tableMask = 1<<tableBits - 1
)

// Edit is one step from tables to the next ones. What WithIn made for an edit, it changes in place for the same edit, so
// that filling a table costs no copies. Once somebody else may hold a table of the edit, the edit must not be used again.
type Edit struct{ _ byte }

// branch is one level of the trie; slots holds a child for each bit set in used, in bit order.
type branch[K comparable, V any] struct {
	used  uint32
	edit  *Edit // the one that made the branch, nil if it is not to be changed in place
	slots []slot[K, V]
}

// slot is either a deeper branch or the entries of one hash (several only where whole hashes collide).
type slot[K comparable, V any] struct {
	deeper *branch[K, V]
	hash   uint64
	leaf   []entry[K, V]
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// Len returns the number of keys.
func (t Table[K, V]) Len() int { return t.len }

// Get returns the value of key and whether there is one.
func (t Table[K, V]) Get(key K) (V, bool) {
	var zero V
	if t.root == nil {
		return zero, false
	}
	hash := maphash.Comparable(t.seed, key)
	b := t.root
	for shift := 0; ; shift += tableBits {
		i, ok := b.find(hash, shift)
		if !ok {
			return zero, false
		}
		s := &b.slots[i]
		if s.deeper != nil {
			b = s.deeper
			continue
		}
		for _, e := range s.leaf {
			if e.key == key {
				return e.value, true
			}
		}
		return zero, false
	}
}

// With returns the table with key set to value.
func (t Table[K, V]) With(key K, value V) Table[K, V] { return t.WithIn(nil, key, value) }

// WithIn is With as a part of edit, which may be nil.
func (t Table[K, V]) WithIn(edit *Edit, key K, value V) Table[K, V] {
	if t.root == nil {
		t = Table[K, V]{root: &branch[K, V]{edit: edit}, seed: maphash.MakeSeed()}
	}
	root, added := t.root.with(edit, entry[K, V]{key, value}, maphash.Comparable(t.seed, key), 0)
	t.root = root
	if added {
		t.len++
	}
	return t
}

// Without returns the table without key.
func (t Table[K, V]) Without(key K) Table[K, V] {
	if t.root == nil {
		return t
	}
	root, removed := t.root.without(key, maphash.Comparable(t.seed, key), 0)
	if !removed {
		return t
	}
	t.root = root
	t.len--
	return t
}

// All returns every key with its value, in no particular order.
func (t Table[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if t.root != nil {
			t.root.all(yield)
		}
	}
}

// find returns where the child for hash is, or would be.
func (b *branch[K, V]) find(hash uint64, shift int) (int, bool) {
	bit := bitFor(hash, shift)
	return bits.OnesCount32(b.used & (bit - 1)), b.used&bit != 0
}

func bitFor(hash uint64, shift int) uint32 { return 1 << (hash >> shift & tableMask) }

func (b *branch[K, V]) with(edit *Edit, e entry[K, V], hash uint64, shift int) (*branch[K, V], bool) {
	i, ok := b.find(hash, shift)
	if !ok {
		fresh := slot[K, V]{hash: hash, leaf: []entry[K, V]{e}}
		if edit != nil && b.edit == edit {
			b.used |= bitFor(hash, shift)
			b.slots = slices.Insert(b.slots, i, fresh)
			return b, true
		}
		return &branch[K, V]{used: b.used | bitFor(hash, shift), edit: edit, slots: inserted(b.slots, i, fresh)}, true
	}
	s := b.slots[i]
	added := true
	switch {
	case s.deeper != nil:
		s.deeper, added = s.deeper.with(edit, e, hash, shift+tableBits)
	case s.hash == hash:
		s.leaf, added = leafWith(s.leaf, e)
	default:
		s = slot[K, V]{deeper: split(edit, s, e, hash, shift+tableBits)}
	}
	if edit != nil && b.edit == edit {
		b.slots[i] = s
		return b, added
	}
	return &branch[K, V]{used: b.used, edit: edit, slots: replaced(b.slots, i, s)}, added
}

// split returns a branch that holds the leaf old and, beside it, e, whose hash differs.
func split[K comparable, V any](edit *Edit, old slot[K, V], e entry[K, V], hash uint64, shift int) *branch[K, V] {
	b := &branch[K, V]{used: bitFor(old.hash, shift), edit: edit, slots: []slot[K, V]{old}}
	b, _ = b.with(edit, e, hash, shift)
	return b
}

func (b *branch[K, V]) without(key K, hash uint64, shift int) (*branch[K, V], bool) {
	i, ok := b.find(hash, shift)
	if !ok {
		return b, false
	}
	s := b.slots[i]
	var removed bool
	if s.deeper != nil {
		s.deeper, removed = s.deeper.without(key, hash, shift+tableBits)
	} else {
		s.leaf, removed = leafWithout(s.leaf, key)
	}
	if !removed {
		return b, false
	}
	if s.deeper != nil && len(s.deeper.slots) > 0 || len(s.leaf) > 0 {
		return &branch[K, V]{used: b.used, slots: replaced(b.slots, i, s)}, true
	}
	return &branch[K, V]{used: b.used &^ bitFor(hash, shift), slots: removedAt(b.slots, i)}, true
}

func (b *branch[K, V]) all(yield func(K, V) bool) bool {
	for i := range b.slots {
		s := &b.slots[i]
		if s.deeper != nil && !s.deeper.all(yield) {
			return false
		}
		for _, e := range s.leaf {
			if !yield(e.key, e.value) {
				return false
			}
		}
	}
	return true
}

func leafWith[K comparable, V any](leaf []entry[K, V], e entry[K, V]) ([]entry[K, V], bool) {
	for i := range leaf {
		if leaf[i].key == e.key {
			return replaced(leaf, i, e), false
		}
	}
	return inserted(leaf, len(leaf), e), true
}

func leafWithout[K comparable, V any](leaf []entry[K, V], key K) ([]entry[K, V], bool) {
	for i := range leaf {
		if leaf[i].key == key {
			return removedAt(leaf, i), true
		}
	}
	return leaf, false
}

func inserted[T any](s []T, i int, v T) []T {
	out := make([]T, 0, len(s)+1)
	return append(append(append(out, s[:i]...), v), s[i:]...)
}

func replaced[T any](s []T, i int, v T) []T {
	out := append(make([]T, 0, len(s)), s...)
	out[i] = v
	return out
}

func removedAt[T any](s []T, i int) []T {
	return append(append(make([]T, 0, len(s)-1), s[:i]...), s[i+1:]...)
}
