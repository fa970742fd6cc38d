package http1

import (
	"io"
)

const (
	// small is a buffer for heads and what comes with them, large one for more of a body: two copies of that much at once cost less
	// than moving it within the kernel (splice) or by smaller pieces. medium is for heads that are longer than small.
	small  = 16 << 10
	medium = 64 << 10
	large  = 256 << 10
	// keptSmall and keptLarge bound the buffers of a size that a loop keeps.
	keptSmall = 256
	keptLarge = 32
)

// Buffers are those that the connections of one loop take turns with. An idle connection has none.
type Buffers struct{ small, large [][]byte }

// take returns a buffer of a size: small and large ones are mostly there already.
func (b *Buffers) take(size int) []byte {
	switch size {
	case small:
		return reuse(&b.small, size)
	case large:
		return reuse(&b.large, size)
	}
	return make([]byte, size)
}

func reuse(list *[][]byte, size int) []byte {
	n := len(*list)
	if n == 0 {
		return make([]byte, size)
	}
	buf := (*list)[n-1]
	*list = (*list)[:n-1]
	return buf
}

func (b *Buffers) give(buf []byte) {
	switch {
	case cap(buf) == small && len(b.small) < keptSmall:
		b.small = append(b.small, buf[:small])
	case cap(buf) == large && len(b.large) < keptLarge:
		b.large = append(b.large, buf[:large])
	}
}

// reader reads heads and bodies of one connection.
type reader struct {
	from    io.Reader
	buffers *Buffers
	buf     []byte // nil: none
	r, w    int    // what of it was read and not used
	head    []byte // the buffer of the head whose body is read, if that is another one
	pinned  bool   // buf holds that head
}

// rest is what was read and not used.
func (r *reader) rest() []byte { return r.buf[r.r:r.w] }

// more reads more of a head, which begins at buf[0], into a buffer that grows up to limit.
func (r *reader) more(limit int) error {
	if r.buf == nil {
		r.buf = r.buffers.take(small)
	}
	if r.w == len(r.buf) {
		if r.w >= limit {
			return Error{431, "a head that is too long"}
		}
		bigger := r.buffers.take(max(2*len(r.buf), medium))
		copy(bigger, r.buf[:r.w])
		r.buffers.give(r.buf)
		r.buf = bigger
	}
	n, err := r.from.Read(r.buf[r.w:])
	r.w += n
	return err
}

// body reads more of a body, of which all was used that was read. size is how much more there is; -1: unknown.
func (r *reader) body(size int64) error {
	if r.pinned {
		r.head, r.pinned, r.buf = r.buf, false, nil
	}
	if r.buf == nil {
		n := large
		if 0 <= size && size <= small {
			n = small
		}
		r.buf = r.buffers.take(n)
	}
	into := r.buf
	if 0 <= size && size < int64(len(into)) {
		into = into[:size] // nothing of the next message
	}
	r.r, r.w = 0, 0
	n, err := r.from.Read(into)
	r.w = n
	if n > 0 {
		return nil
	}
	return err
}

// next makes ready for the next message: buffers that are of no more use are given back.
func (r *reader) next() {
	if r.head != nil {
		r.buffers.give(r.head)
		r.head = nil
	}
	r.pinned = false
	switch {
	case r.buf == nil:
	case r.r == r.w:
		r.buffers.give(r.buf)
		r.buf, r.r, r.w = nil, 0, 0
	case r.r > 0:
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
}

// release gives all buffers back.
func (r *reader) release() {
	r.r, r.w = 0, 0
	r.next()
}
