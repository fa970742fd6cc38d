package route

// pageBits is the logarithm of the values that are copied together when one of them changes.
const pageBits = 6

// vector is an immutable array of values by number; the one after a change shares all but a page of it.
type vector[T any] struct{ pages []*[1 << pageBits]T }

// get returns the value of a number, the zero T if it has none.
func (v *vector[T]) get(n uint32) T {
	var zero T
	if at := n >> pageBits; int(at) < len(v.pages) && v.pages[at] != nil {
		return v.pages[at][n&(1<<pageBits-1)]
	}
	return zero
}

// vectorEdit derives the next vector from one, copying each page once.
type vectorEdit[T any] struct {
	vector[T]
	own map[uint32]bool
}

func (v vector[T]) edit() *vectorEdit[T] {
	return &vectorEdit[T]{vector[T]{append([]*[1 << pageBits]T(nil), v.pages...)}, map[uint32]bool{}}
}

func (e *vectorEdit[T]) set(n uint32, value T) {
	at := n >> pageBits
	for int(at) >= len(e.pages) {
		e.pages = append(e.pages, nil)
	}
	if !e.own[at] {
		page := new([1 << pageBits]T)
		if e.pages[at] != nil {
			*page = *e.pages[at]
		}
		e.pages[at], e.own[at] = page, true
	}
	e.pages[at][n&(1<<pageBits-1)] = value
}
