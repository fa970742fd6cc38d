package zone

import (
	"hash/maphash"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Table is the facts at one moment. It is immutable.
type Table struct {
	version uint64
	serial  uint32
	built   time.Time
	synced  bool

	seed maphash.Seed // of both indexes
	// names finds entries by Service and namespace, addrs by cluster IP and the addresses of ready endpoints.
	names      nameIndex
	addrs      index
	entries    entries
	namespaces model.Table[string, *model.Namespace]
}

// Synced is false until there was a first complete snapshot; the table is then empty.
func (t *Table) Synced() bool { return t.synced }

// Version is the snapshot's: the generation of the table, 0 before the first.
func (t *Table) Version() uint64 { return t.version }

// Serial is the serial number of the zones' SOA: the time of the last change, in Unix seconds, or more where changes
// follow each other in less than a second.
func (t *Table) Serial() uint32 { return t.serial }

// Built is when the table was made, the zero time before the first.
func (t *Table) Built() time.Time { return t.built }

// builder derives tables from tables. It is used by one goroutine.
type builder struct {
	podNames bool // whether the names of pods are kept
	arranger arranger
	free     []uint32 // ids that were given up
	next     uint32   // the first id that was never used
	key      []byte
	old, new []netip.Addr
}

// update returns the table for a snapshot, given in what it differs from that of t. The cost is that of the changes.
func (b *builder) update(t *Table, snap *model.Snapshot, ch model.Changes, now time.Time) *Table {
	next := *t
	next.version, next.built, next.synced = snap.Version, now, true
	next.namespaces = snap.Namespaces
	if !t.synced || ch.All {
		next.seed = maphash.MakeSeed()
		next.names, next.addrs, next.entries = nameIndex{}, index{}, entries{}
		b.free, b.next = nil, 0
		b.edit(&next, everything(snap), snap)
	} else {
		b.edit(&next, maps.Keys(ch.Services), snap)
	}
	if ch.All || len(ch.Services) > 0 || ch.Namespaces {
		next.serial = max(t.serial+1, uint32(now.Unix()))
	}
	return &next
}

// everything returns all names of a snapshot.
func everything(snap *model.Snapshot) iter.Seq[model.Ref] {
	return func(yield func(model.Ref) bool) {
		for ref := range snap.Services.All() {
			if !yield(ref) {
				return
			}
		}
		for ref := range snap.Slices.All() {
			if _, ok := snap.Services.Get(ref); !ok && !yield(ref) {
				return
			}
		}
	}
}

// edit brings the entries of those names up to date.
func (b *builder) edit(t *Table, refs iter.Seq[model.Ref], snap *model.Snapshot) {
	names, addrs, list := nameEdit{nameIndex: t.names}, indexEdit{index: t.addrs}, entriesEdit{entries: t.entries}
	for ref := range refs {
		b.key = appendKey(b.key[:0], ref)
		old := t.entry(b.key)
		view := snap.View(ref)
		exists := view.Service != nil || len(view.Slices) > 0
		var fresh *entry
		hash := t.hash(b.key)
		switch {
		case old == nil && !exists:
			continue
		case !exists:
			names.put(hash, old, nil)
			list.set(old.id, nil)
			b.free = append(b.free, old.id)
			b.reindex(t, &addrs, old.id, old, nil)
			continue
		case old == nil:
			fresh = b.entry(b.id(), ref, view)
		default:
			fresh = b.entry(old.id, ref, view)
		}
		names.put(hash, old, fresh)
		list.set(fresh.id, fresh)
		b.reindex(t, &addrs, fresh.id, old, fresh)
	}
	t.names, t.addrs, t.entries = names.nameIndex, addrs.index, list.entries
}

// id returns an unused id.
func (b *builder) id() uint32 {
	if last := len(b.free) - 1; last >= 0 {
		id := b.free[last]
		b.free = b.free[:last]
		return id
	}
	b.next++
	return b.next - 1
}

// entry returns the entry of a Service.
func (b *builder) entry(id uint32, ref model.Ref, view model.ServiceView) *entry {
	e := &entry{id: id, ref: ref, sort: sortOf(view.Service), service: view.Service, slices: view.Slices}
	e.setClusterIPs()
	e.order = b.arranger.arrange(e, false)
	if b.podNames {
		e.orderByPod = b.arranger.arrange(e, true)
	}
	return e
}

// reindex brings the index of addresses from one entry to its next, of which either may be nil.
func (b *builder) reindex(t *Table, x *indexEdit, id uint32, old, next *entry) {
	b.old, b.new = b.old[:0], b.new[:0]
	if old != nil {
		b.old = old.addrs(b.old)
	}
	if next != nil {
		b.new = next.addrs(b.new)
	}
	for _, a := range b.old {
		if _, ok := slices.BinarySearchFunc(b.new, a, netip.Addr.Compare); !ok {
			x.remove(t.hashAddr(a), id)
		}
	}
	for _, a := range b.new {
		if _, ok := slices.BinarySearchFunc(b.old, a, netip.Addr.Compare); !ok {
			x.add(t.hashAddr(a), id)
		}
	}
}

// hashAddr returns the hash of an address.
func (t *Table) hashAddr(a netip.Addr) uint32 {
	b := a.As16()
	return t.hash(b[:])
}
