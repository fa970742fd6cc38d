package nftables

import (
	"bytes"
	"encoding/binary"
	"sort"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
)

// elements are the elements of one set, as records of equal length in one buffer: key, then data. The data of a
// verdict map are the verdict's number among symbols. So 100,000 endpoints take some megabytes and no allocations.
type elements struct {
	key, data int // lengths in bytes
	buf       []byte
}

func (e *elements) width() int          { return e.key + e.data }
func (e *elements) Len() int            { return len(e.buf) / e.width() }
func (e *elements) record(i int) []byte { return e.buf[i*e.width() : (i+1)*e.width()] }

// Less orders by key; of equal keys, by data.
func (e *elements) Less(i, j int) bool { return bytes.Compare(e.record(i), e.record(j)) < 0 }

// Swap implements sort.Interface.
func (e *elements) Swap(i, j int) {
	var spare [64]byte
	a, b := e.record(i), e.record(j)
	n := copy(spare[:], a)
	copy(a, b)
	copy(b, spare[:n])
}

func (e *elements) sort() {
	if !sort.IsSorted(e) {
		sort.Sort(e)
	}
}

// delta is how an element of one state differs from that of another. Both slices are records; nil: not there.
type delta struct{ have, want []byte }

// diff calls visit for each element that differs between two sorted lists.
func diff(have, want *elements, visit func(delta)) {
	i, j := 0, 0
	for i < have.Len() || j < want.Len() {
		order := 0
		switch {
		case i == have.Len():
			order = 1
		case j == want.Len():
			order = -1
		default:
			order = bytes.Compare(have.record(i)[:have.key], want.record(j)[:want.key])
		}
		switch {
		case order < 0:
			visit(delta{have: have.record(i)})
			i++
		case order > 0:
			visit(delta{want: want.record(j)})
			j++
		default:
			if !bytes.Equal(have.record(i), want.record(j)) {
				visit(delta{have.record(i), want.record(j)})
			}
			i, j = i+1, j+1
		}
	}
}

// symbols numbers the verdicts that elements have. It lives as long as one Sync.
type symbols struct {
	numbers  map[nft.Verdict]uint32
	verdicts []nft.Verdict
}

func newSymbols() *symbols { return &symbols{numbers: map[nft.Verdict]uint32{}} }

// record appends a verdict's number to a record.
func (s *symbols) record(buf []byte, v nft.Verdict) []byte {
	n, ok := s.numbers[v]
	if !ok {
		n = uint32(len(s.verdicts))
		s.numbers[v] = n
		s.verdicts = append(s.verdicts, v)
	}
	return binary.NativeEndian.AppendUint32(buf, n)
}

func (s *symbols) verdict(data []byte) nft.Verdict {
	return s.verdicts[binary.NativeEndian.Uint32(data)]
}

// merge adds the elements of o whose keys are new.
func (e *elements) merge(o *elements) {
	var added []byte
	diff(e, o, func(d delta) {
		if d.have == nil {
			added = append(added, d.want...)
		}
	})
	e.buf = append(e.buf, added...)
	e.sort()
}

// repeats reports whether a sorted list has a key twice.
func (e *elements) repeats() bool {
	for i := 1; i < e.Len(); i++ {
		if bytes.Equal(e.record(i - 1)[:e.key], e.record(i)[:e.key]) {
			return true
		}
	}
	return false
}

// compact removes all but the first of elements with the same key from a sorted list, and returns how many.
func (e *elements) compact() int {
	if !e.repeats() {
		return 0
	}
	kept := e.buf[:0]
	before := e.Len()
	for i := range before {
		r := e.record(i)
		if last := len(kept) - e.width(); last < 0 || !bytes.Equal(kept[last:last+e.key], r[:e.key]) {
			kept = append(kept, r...)
		}
	}
	e.buf = kept
	return before - e.Len()
}
