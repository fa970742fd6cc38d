package zone

// index is an immutable map from the hashes of addresses to the ids of entries: addresses are stored in the snapshot alone, and
// a look-up verifies what the hash has found. It takes 8 bytes an item, and an edit copies what it touches.
type index struct{ pages [indexFan]*indexPage }

type indexPage [indexFan][]uint64 // buckets of hash<<32 | id

const (
	indexBits = 6
	indexFan  = 1 << indexBits
)

// slots returns the page of hash and its bucket there.
func slots(hash uint32) (page, bucket uint32) {
	return hash >> (32 - indexBits), hash >> (32 - 2*indexBits) & (indexFan - 1)
}

// bucket returns the items among which those of hash are.
func (x *index) bucket(hash uint32) []uint64 {
	page, bucket := slots(hash)
	if x.pages[page] == nil {
		return nil
	}
	return x.pages[page][bucket]
}

// indexEdit derives an index from another one.
type indexEdit struct {
	index
	ownPages   uint64           // a bit for each page that is ours to write
	ownBuckets [indexFan]uint64 // and for each bucket
}

// own returns the bucket of hash, to be written.
func (e *indexEdit) own(hash uint32) *[]uint64 {
	page, bucket := slots(hash)
	if e.ownPages&(1<<page) == 0 {
		fresh := &indexPage{}
		if old := e.pages[page]; old != nil {
			*fresh = *old
		}
		e.pages[page] = fresh
		e.ownPages |= 1 << page
	}
	b := &e.pages[page][bucket]
	if e.ownBuckets[page]&(1<<bucket) == 0 {
		*b = append(make([]uint64, 0, len(*b)+1), *b...)
		e.ownBuckets[page] |= 1 << bucket
	}
	return b
}

func (e *indexEdit) add(hash, id uint32) {
	b := e.own(hash)
	*b = append(*b, uint64(hash)<<32|uint64(id))
}

func (e *indexEdit) remove(hash, id uint32) {
	b := e.own(hash)
	for i, item := range *b {
		if item == uint64(hash)<<32|uint64(id) {
			last := len(*b) - 1
			(*b)[i] = (*b)[last]
			*b = (*b)[:last]
			return
		}
	}
}

// entries is an immutable array of entries by id.
type entries struct{ pages []*entryPage }

type entryPage [256]*entry

// at returns the entry of an id that an index holds.
func (s *entries) at(id uint32) *entry { return s.pages[id>>8][id&255] }

// entriesEdit derives entries from others.
type entriesEdit struct {
	entries
	own map[uint32]struct{} // pages that are ours to write; nil: not even the list of pages is
}

// set writes the entry of an id, nil to remove it. Ids are dense: at most the first unused one is new.
func (e *entriesEdit) set(id uint32, v *entry) {
	if e.own == nil {
		e.pages = append(make([]*entryPage, 0, len(e.pages)+1), e.pages...)
		e.own = map[uint32]struct{}{}
	}
	page := id >> 8
	if int(page) == len(e.pages) {
		e.pages = append(e.pages, &entryPage{})
		e.own[page] = struct{}{}
	}
	if _, ok := e.own[page]; !ok {
		fresh := *e.pages[page]
		e.pages[page] = &fresh
		e.own[page] = struct{}{}
	}
	e.pages[page][id&255] = v
}
