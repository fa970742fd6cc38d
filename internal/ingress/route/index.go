package route

import (
	"hash/maphash"
	"iter"
)

// chunkBits is the logarithm of the buckets that are copied together when one of them changes.
const chunkBits = 5

// index finds hosts by name. It is immutable, and the one after a change shares nearly all of it: a directory of chunks of buckets
// costs a lookup the same two loads for one host and for 10,000, and a change the copy of one chunk and of the directory.
type index struct {
	seed maphash.Seed
	dir  []*chunk // a power of two, empty for an empty index; nil where a chunk has no host
	len  int
}

type chunk [1 << chunkBits]*entry

// entry is a host in the list of its bucket.
type entry struct {
	hash uint64
	name string
	host *Host
	next *entry
}

// get returns the host of exactly that name, nil for none. It does not allocate.
func (ix *index) get(name string) *Host {
	if len(ix.dir) == 0 {
		return nil
	}
	hash := maphash.String(ix.seed, name)
	c := ix.dir[hash>>chunkBits&uint64(len(ix.dir)-1)]
	if c == nil {
		return nil
	}
	for e := c[hash&(1<<chunkBits-1)]; e != nil; e = e.next {
		if e.hash == hash && e.name == name {
			return e.host
		}
	}
	return nil
}

// all returns the hosts with their names, in no particular order.
func (ix *index) all() iter.Seq2[string, *Host] {
	return func(yield func(string, *Host) bool) {
		for _, c := range ix.dir {
			if c == nil {
				continue
			}
			for _, e := range c {
				for ; e != nil; e = e.next {
					if !yield(e.name, e.host) {
						return
					}
				}
			}
		}
	}
}

// edit derives the next index from one, copying each chunk once.
type edit struct {
	index
	own []bool // by place in dir: the chunk was copied
}

// edit returns the index to be changed, with room for more hosts.
func (ix index) edit(more int) *edit {
	e := &edit{index: ix}
	size := max(1, len(ix.dir))
	for size<<chunkBits < ix.len+more {
		size *= 2
	}
	if size != len(ix.dir) {
		e.resize(size)
		return e
	}
	e.dir = append([]*chunk(nil), ix.dir...)
	e.own = make([]bool, size)
	return e
}

// resize distributes the hosts anew over a directory of that size.
func (e *edit) resize(size int) {
	old := e.index
	e.index = index{seed: old.seed, dir: make([]*chunk, size)}
	if len(old.dir) == 0 {
		e.seed = maphash.MakeSeed()
	}
	e.own = make([]bool, size)
	for name, host := range old.all() {
		e.set(name, host)
	}
}

// done returns the index after the changes.
func (e *edit) done() index { return e.index }

// set gives name to host; a nil host removes the name.
func (e *edit) set(name string, host *Host) {
	if host == nil && e.get(name) == nil {
		return
	}
	hash := maphash.String(e.seed, name)
	at := hash >> chunkBits & uint64(len(e.dir)-1)
	if !e.own[at] {
		c := new(chunk)
		if e.dir[at] != nil {
			*c = *e.dir[at]
		}
		e.dir[at], e.own[at] = c, true
	}
	bucket := &e.dir[at][hash&(1<<chunkBits-1)]
	var kept *entry
	for old := *bucket; old != nil; old = old.next {
		if old.name == name {
			e.len--
			continue
		}
		kept = &entry{old.hash, old.name, old.host, kept}
	}
	if host != nil {
		kept = &entry{hash, name, host, kept}
		e.len++
	}
	*bucket = kept
}
