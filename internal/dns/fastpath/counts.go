package fastpath

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

// The buckets of CoreDNS's histograms (plugin/metrics/vars; plugin.TimeBuckets).
const (
	timeBuckets = 16
	sizeBuckets = 14
	// firstTimeBound is the bound of the first bucket of times; each other bound is twice the one before: up to 8.192 s.
	firstTimeBound = 250 * time.Microsecond
)

// sizeBounds are the bounds of the buckets of sizes, in bytes.
func sizeBounds() [sizeBuckets]uint64 {
	return [sizeBuckets]uint64{0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3}
}

// otherTypes is where the types above are counted: those that CoreDNS counts by name are all below.
const otherTypes = 66

// Counts are the answers for one zone of one listener, in the terms of CoreDNS's metrics. It is safe for concurrent use.
type Counts struct {
	bounds [sizeBuckets]uint64
	shards []countShard
}

// countShard is what the loops of one socket count, apart from others, as cores that write to the same memory wait for each other.
type countShard struct {
	requests                       [2][otherTypes + 1]atomic.Uint64 // by IP family (0: IPv4) and type
	wantDNSSEC                     atomic.Uint64
	rcodes                         [rcodeMask + 1]atomic.Uint64
	requestSize, replySize, served histogram
	_                              [64]byte // a cache line between shards
}

// histogram has the buckets up to each bound, and one for the rest; the sum is in bytes or nanoseconds.
type histogram struct {
	buckets [timeBuckets + 1]atomic.Uint64
	sum     atomic.Uint64
}

// NewCounts returns counts of nothing, for listeners of up to this many sockets.
func NewCounts(sockets int) *Counts {
	return &Counts{bounds: sizeBounds(), shards: make([]countShard, max(1, sockets))}
}

// count counts one answer, but for its duration.
func (c *Counts) count(shard int, q *query, reply []byte, requestLen int, ipv4 bool) {
	s := &c.shards[shard%len(c.shards)]
	family := 0
	if !ipv4 {
		family = 1
	}
	s.requests[family][min(q.qtype, otherTypes)].Add(1)
	if q.edns && q.optFlags&bitDO != 0 {
		s.wantDNSSEC.Add(1)
	}
	s.rcodes[binary.BigEndian.Uint16(reply[2:])&rcodeMask].Add(1)
	c.size(&s.requestSize, requestLen)
	c.size(&s.replySize, len(reply))
}

func (c *Counts) size(h *histogram, bytes int) {
	i := 0
	for i < sizeBuckets && uint64(bytes) > c.bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(uint64(bytes))
}

// took counts the duration of n answers.
func (c *Counts) took(shard, n int, d time.Duration) {
	h := &c.shards[shard%len(c.shards)].served
	i := 0
	for bound := firstTimeBound; i < timeBuckets && d > bound; bound *= 2 {
		i++
	}
	h.buckets[i].Add(uint64(n))
	h.sum.Add(uint64(n) * uint64(d))
}

// tally is how many answers of a batch belong to which Counts, until it is known how long the batch took.
type tally struct {
	of [4]struct {
		counts *Counts
		n      int
	}
}

// add counts one more. A batch for more zones than there is room for counts the rest as the last one.
func (t *tally) add(c *Counts) {
	for i := range t.of {
		if t.of[i].counts == c || t.of[i].counts == nil || i == len(t.of)-1 {
			t.of[i].counts = c
			t.of[i].n++
			return
		}
	}
}

// flush counts the durations and begins anew.
func (t *tally) flush(shard int, d time.Duration) {
	for i := range t.of {
		if t.of[i].counts == nil {
			break
		}
		t.of[i].counts.took(shard, t.of[i].n, d)
		t.of[i].counts, t.of[i].n = nil, 0
	}
}
