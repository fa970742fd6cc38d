package policy

// lru holds the values that were asked for last, up to limit. It is guarded by its owner.
type lru[K comparable, V any] struct {
	limit int
	index map[K]int32
	list  []lruEntry[K, V] // list[0] is the head of a ring: next is the newest, prev the oldest
}

type lruEntry[K comparable, V any] struct {
	key        K
	value      V
	prev, next int32
}

// get returns the value of a key, valid until the next call; a new one, and false, if it was not there: the oldest one makes room.
func (l *lru[K, V]) get(key K) (*V, bool) {
	if at, ok := l.index[key]; ok {
		l.unlink(at)
		l.first(at)
		return &l.list[at].value, true
	}
	if l.index == nil {
		l.index = map[K]int32{}
		l.list = make([]lruEntry[K, V], 1, 8)
	}
	var at int32
	if len(l.index) < l.limit {
		at = int32(len(l.list))
		l.list = append(l.list, lruEntry[K, V]{key: key})
	} else {
		at = l.list[0].prev
		l.unlink(at)
		delete(l.index, l.list[at].key)
		l.list[at] = lruEntry[K, V]{key: key}
	}
	l.index[key] = at
	l.first(at)
	return &l.list[at].value, false
}

// peek returns the value of a key, which becomes the newest; nil: there is none.
func (l *lru[K, V]) peek(key K) *V {
	at, ok := l.index[key]
	if !ok {
		return nil
	}
	l.unlink(at)
	l.first(at)
	return &l.list[at].value
}

func (l *lru[K, V]) unlink(at int32) {
	e := &l.list[at]
	l.list[e.prev].next, l.list[e.next].prev = e.next, e.prev
}

func (l *lru[K, V]) first(at int32) {
	head := &l.list[0]
	l.list[at].prev, l.list[at].next = 0, head.next
	l.list[head.next].prev = at
	l.list[0].next = at
}
