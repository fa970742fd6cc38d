package zone

// nameIndex is an immutable map from the hashes of names to entries: most questions look one name up, so that it is laid out to find it with
// one access to memory. Each page is a hash table with open addressing, and an edit copies the pages that it touches.
type nameIndex struct{ pages [indexFan]namePage }

// namePage has a power of two of places, of which at most three quarters are taken; nil has none.
type namePage struct {
	places []namePlace
	taken  int
}

// namePlace is free if it has no entry.
type namePlace struct {
	hash  uint32
	entry *entry
}

// leastPlaces is the size of the smallest page.
const leastPlaces = 4

// page returns the page of a hash.
func (x *nameIndex) page(hash uint32) *namePage { return &x.pages[hash>>(32-indexBits)] }

// find returns the entry of a key, nil if there is none.
func (x *nameIndex) find(hash uint32, key []byte) *entry {
	p := x.page(hash)
	if len(p.places) == 0 {
		return nil
	}
	mask := uint32(len(p.places) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		place := &p.places[i]
		if place.entry == nil || place.hash == hash && isKey(key, place.entry.ref) {
			return place.entry
		}
	}
}

// nameEdit derives a nameIndex from another one.
type nameEdit struct {
	nameIndex
	own uint64 // a bit for each page that is ours to write
}

// put replaces an entry by another one of its name; either may be nil.
func (e *nameEdit) put(hash uint32, old, fresh *entry) {
	p := e.page(hash)
	taken := p.taken
	if old == nil {
		taken++
	}
	bit := uint64(1) << (hash >> (32 - indexBits))
	switch {
	case fresh == nil:
		*p = p.without(old)
	case 4*taken > 3*len(p.places):
		*p = p.resized(max(leastPlaces, 2*len(p.places)))
	case e.own&bit == 0:
		*p = p.resized(len(p.places))
	}
	e.own |= bit
	if fresh != nil {
		p.set(hash, old, fresh)
	}
}

// resized returns a page of other places with the same entries.
func (p *namePage) resized(places int) namePage {
	out := namePage{places: make([]namePlace, places)}
	for _, place := range p.places {
		if place.entry != nil {
			out.set(place.hash, nil, place.entry)
		}
	}
	return out
}

// without returns a page without an entry, of half the places if few are taken.
func (p *namePage) without(gone *entry) namePage {
	size := len(p.places)
	if size > leastPlaces && 4*p.taken < size {
		size /= 2
	}
	out := namePage{places: make([]namePlace, size)}
	for _, place := range p.places {
		if place.entry != nil && place.entry != gone {
			out.set(place.hash, nil, place.entry)
		}
	}
	return out
}

// set puts an entry in the place of another one, or in a free place.
func (p *namePage) set(hash uint32, old, fresh *entry) {
	mask := uint32(len(p.places) - 1)
	i := hash & mask
	for p.places[i].entry != old {
		i = (i + 1) & mask
	}
	if old == nil {
		p.taken++
	}
	p.places[i] = namePlace{hash, fresh}
}
