package iptables

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

const (
	// leafSize is how many entries a chain has at most before it is split by the next four bits of their keys.
	leafSize = 32
	// inlineSize is how many entries make no chain of their own when a chain is split.
	inlineSize = 2
	// stride is by how many bits a chain is split.
	stride = 4
)

// entry is something that packets are dispatched to.
type entry struct {
	// key is the address, or protocol and port of a node port, as bytes.
	key string
	// minor orders entries of the same key: by protocol and port.
	minor   uint32
	service *plan.Service
	// index is that of the frontend; wholeAddress: the entry is the cluster IP itself.
	index int16
}

const wholeAddress = -1

func (e *entry) frontend() *plan.Frontend {
	if e.service == nil || e.index == wholeAddress {
		return nil
	}
	return &e.service.Frontends[e.index]
}

func compareEntries(a, b entry) int {
	if c := strings.Compare(a.key, b.key); c != 0 {
		return c
	}
	if a.minor != b.minor {
		return int(int64(a.minor) - int64(b.minor))
	}
	if a.service == nil || b.service == nil {
		return 0
	}
	if c := compareRefs(a.service.Ref, b.service.Ref); c != 0 {
		return c
	}
	return int(a.index) - int(b.index)
}

// tree finds an entry among many in a number of steps that hardly depends on theirs: each chain has entries, or leads
// on by a few more bits of the key. Its shape depends on the entries only, not on their history.
type tree struct {
	root string
	kind string // addressNode, portNode or hairpinNode
	// entries are in order.
	entries []entry
}

// node is a chain of a tree: the entries lo to hi, whose keys have the first bits in common.
type node struct{ lo, hi, bits int }

func (t *tree) all() node { return node{0, len(t.entries), 0} }

// prefix returns the first bits of a key, and zeros.
func prefix(key string, bits int) []byte {
	p := []byte(key)
	for i := range p {
		switch left := bits - 8*i; {
		case left <= 0:
			p[i] = 0
		case left < 8:
			p[i] &= 0xff << (8 - left)
		}
	}
	return p
}

// common returns how many bits two keys of the same length have in common.
func common(a, b string) int {
	for i := range len(a) {
		if x := a[i] ^ b[i]; x != 0 {
			n := 8 * i
			for x&0x80 == 0 {
				x <<= 1
				n++
			}
			return n
		}
	}
	return 8 * len(a)
}

// children returns the parts of a node, in order; nil: it is a leaf.
func (t *tree) children(n node) []node {
	if n.hi-n.lo <= leafSize {
		return nil
	}
	first, last := t.entries[n.lo].key, t.entries[n.hi-1].key
	shared := t.step(common(first, last))
	if shared == 8*len(first) {
		return nil // one address with very many ports
	}
	if shared > n.bits {
		return []node{{n.lo, n.hi, shared}}
	}
	var parts []node
	end := t.step(shared + stride)
	if end == shared {
		end = shared + 8 // the protocol is split as a whole
	}
	for lo := n.lo; lo < n.hi; {
		p := prefix(t.entries[lo].key, end)
		hi := lo + sort.Search(n.hi-lo, func(i int) bool {
			return string(prefix(t.entries[lo+i].key, end)) > string(p)
		})
		bits := max(end, t.step(common(t.entries[lo].key, t.entries[hi-1].key)))
		parts = append(parts, node{lo, hi, bits})
		lo = hi
	}
	return parts
}

// step rounds a number of bits down to one that a chain can be for.
func (t *tree) step(bits int) int {
	if t.kind == portNode && bits < 8 {
		return 0
	}
	return bits - bits%stride
}

// inline reports whether a part has no chain of its own.
func (t *tree) inline(n node) bool { return n.hi-n.lo <= inlineSize }

// walk visits all nodes with chains.
func (t *tree) walk(n node, visit func(node)) {
	visit(n)
	for _, c := range t.children(n) {
		if !t.inline(c) {
			t.walk(c, visit)
		}
	}
}

// name returns a node's chain.
func (t *tree) name(n node) string {
	if n.bits == 0 {
		return t.root
	}
	p := prefix(t.entries[n.lo].key, n.bits)
	if t.kind == portNode {
		name := fmt.Sprintf("%02d-%s", n.bits, protocol(model.Protocol(p[0])))
		if n.bits > 8 {
			name += fmt.Sprintf("-%d", binary.BigEndian.Uint16(p[1:]))
		}
		return chainName(t.kind, name, "")
	}
	a, _ := netip.AddrFromSlice(p)
	digits := 2
	if a.Is6() {
		digits = 3
	}
	return chainName(t.kind, fmt.Sprintf("%0*d-%s", digits, n.bits, a), "")
}

// match returns what packets for a node's entries have in common.
func (t *tree) match(n node) string {
	p := prefix(t.entries[n.lo].key, n.bits)
	if t.kind == portNode {
		protocol := model.Protocol(p[0])
		if n.bits == 8 {
			return ofProtocol(protocol)
		}
		first := binary.BigEndian.Uint16(p[1:])
		last := first | uint16(1<<(24-n.bits)-1)
		return ofProtocol(protocol) + " " + toPorts(protocol, first, last)
	}
	a, _ := netip.AddrFromSlice(p)
	if t.kind == hairpinNode {
		return from(netip.PrefixFrom(a, n.bits))
	}
	return to(netip.PrefixFrom(a, n.bits))
}

// update returns the tree without the entries that drop names, and with those to add, and the keys of both, in order.
func (t *tree) update(drop func(*entry) bool, add []entry) (tree, []string) {
	slices.SortFunc(add, compareEntries)
	next := tree{t.root, t.kind, make([]entry, 0, len(t.entries)+len(add))}
	var touched []string
	i := 0
	for j := range t.entries {
		e := &t.entries[j]
		if drop(e) {
			touched = append(touched, e.key)
			continue
		}
		for i < len(add) && compareEntries(add[i], *e) < 0 {
			next.entries = append(next.entries, add[i])
			i++
		}
		next.entries = append(next.entries, *e)
	}
	next.entries = append(next.entries, add[i:]...)
	for _, e := range add {
		touched = append(touched, e.key)
	}
	slices.Sort(touched)
	return next, slices.Compact(touched)
}

// touches reports whether one of the keys, which are in order, belongs to a node.
func (t *tree) touches(n node, keys []string) bool {
	if n.bits == 0 {
		return len(keys) > 0
	}
	p := prefix(t.entries[n.lo].key, n.bits)
	i, _ := slices.BinarySearch(keys, string(p))
	return i < len(keys) && common(keys[i], string(p)) >= n.bits
}

func compareRefs(a, b model.Ref) int {
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// addressKey and portKey return the keys of trees.
func addressKey(a netip.Addr) string { return string(a.Unmap().AsSlice()) }

func portKey(k plan.Key) string {
	return string([]byte{byte(k.Protocol), byte(k.Port >> 8), byte(k.Port)})
}
