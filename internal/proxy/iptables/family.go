package iptables

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// family is one family's rules, and what the backend remembers of them: a name and a hash for each chain, and where
// packets are dispatched to.
type family struct {
	model model.Family
	// have is what the nat table holds of ours: hashes of chains by name. filter is the same of the filter table.
	have, filter map[string]uint64
	trees        []tree // of addresses, of node ports and of hairpins
	local        map[netip.Addr]int
	// missing is true where the node does not have this family.
	missing bool
	// without names the matches that the kernel does not have and that only some Services need.
	without map[string]bool
}

// The trees of a family.
const (
	addressTree = iota
	portTree
	hairpinTree
)

func newFamily(f model.Family) *family { return &family{model: f, without: map[string]bool{}} }

func (f *family) renderer(n plan.Node) *renderer {
	return &renderer{rules: rules{f.model, n}, without: f.without}
}

// wanted is a chain as it shall be: a Service's, a tree's, or one there is one of.
type wanted struct {
	table, name string
	owned       owned // if it has a service
	tree        *tree
	node        node
	fixed       []string
}

func (w *wanted) isFixed() bool { return w.owned.service == nil && w.tree == nil }

func (r *renderer) render(t *text, w *wanted) {
	switch {
	case w.owned.service != nil:
		r.renderOwned(t, w.owned)
	case w.tree != nil:
		r.renderNode(t, w.tree, w.node)
	default:
		for _, rule := range w.fixed {
			t.rule(w.name, rule)
		}
	}
}

// plant makes the trees anew from all Services.
func (f *family) plant(r *renderer, p *plan.Plan) {
	f.trees = []tree{{root: frontends, kind: addressNode}, {root: nodePorts, kind: portNode}, {root: hairpins, kind: hairpinNode}}
	f.local = map[netip.Addr]int{}
	for _, s := range p.Services.All() {
		addresses, ports := r.entries(s)
		f.trees[addressTree].entries = append(f.trees[addressTree].entries, addresses...)
		f.trees[portTree].entries = append(f.trees[portTree].entries, ports...)
		r.eachLocal(s, func(a netip.Addr) { f.local[a]++ })
	}
	for a := range f.local {
		f.trees[hairpinTree].entries = append(f.trees[hairpinTree].entries, entry{key: addressKey(a)})
	}
	for i := range f.trees {
		slices.SortFunc(f.trees[i].entries, compareEntries)
	}
}

// everything returns all chains that the family shall have, without those of the filter table.
func (f *family) everything(r *renderer, p *plan.Plan) []wanted {
	var list []wanted
	var chains []owned
	for _, s := range p.Services.All() {
		chains = r.owned(chains[:0], s)
		for _, o := range chains {
			list = append(list, wanted{table: "nat", name: o.name, owned: o})
		}
	}
	for i := range f.trees {
		t := &f.trees[i]
		t.walk(t.all(), func(n node) {
			list = append(list, wanted{table: "nat", name: t.name(n), tree: t, node: n})
		})
	}
	return append(list, r.fixed("nat")...)
}

// fixed returns the chains of a table that there is one of.
func (r *renderer) fixed(table string) []wanted {
	var list []wanted
	for _, c := range r.chains() {
		if c.table == table {
			list = append(list, wanted{table: table, name: c.name, fixed: c.rules})
		}
	}
	return list
}

// descending sorts chains so that those come first which others lead to, which is by name, backwards. It also is what
// iptables-nft-restore can take without walking a list of all names before it at each line.
func descending(list []wanted) {
	slices.SortFunc(list, func(a, b wanted) int { return strings.Compare(b.name, a.name) })
}

// graft brings the trees up to date with Services that changed, and returns the chains of the trees that may have to be
// written, and the names of those that are gone.
func (f *family) graft(r *renderer, old, next *plan.Plan, changed []model.Ref) (write []wanted, gone []string) {
	dropped := map[*plan.Service]bool{}
	var add [hairpinTree][]entry
	moved := map[netip.Addr]bool{}
	for _, ref := range changed {
		if s, ok := old.Services.Get(ref); ok {
			dropped[s] = true
			r.eachLocal(s, func(a netip.Addr) { f.local[a]--; moved[a] = true })
		}
		if s, ok := next.Services.Get(ref); ok {
			addresses, ports := r.entries(s)
			add[addressTree], add[portTree] = append(add[addressTree], addresses...), append(add[portTree], ports...)
			r.eachLocal(s, func(a netip.Addr) { f.local[a]++; moved[a] = true })
		}
	}
	trees := slices.Clone(f.trees)
	var touched [hairpinTree + 1][]string
	for i, more := range add {
		trees[i], touched[i] = f.trees[i].update(func(e *entry) bool { return dropped[e.service] }, more)
	}
	trees[hairpinTree], touched[hairpinTree] = f.moveHairpins(moved)
	for i := range trees {
		if len(touched[i]) > 0 {
			w, g := regrown(&f.trees[i], &trees[i], touched[i])
			write, gone = append(write, w...), append(gone, g...)
		}
	}
	f.trees = trees
	return write, gone
}

// moveHairpins returns the tree of hairpins after the counts of some addresses changed.
func (f *family) moveHairpins(moved map[netip.Addr]bool) (tree, []string) {
	keys := map[string]bool{}
	var add []entry
	for a := range moved {
		keys[addressKey(a)] = true
		if f.local[a] > 0 {
			add = append(add, entry{key: addressKey(a)})
		} else {
			delete(f.local, a)
		}
	}
	return f.trees[hairpinTree].update(func(e *entry) bool { return keys[e.key] }, add)
}

// regrown compares the shapes of a tree before and after, and returns the chains that are new or that one of the keys
// belongs to, and the names of those that are gone.
func regrown(before, after *tree, keys []string) (write []wanted, gone []string) {
	type place struct {
		prefix string
		bits   int
	}
	at := func(t *tree, n node) place {
		if n.bits == 0 {
			return place{}
		}
		return place{string(prefix(t.entries[n.lo].key, n.bits)), n.bits}
	}
	was := map[place]node{}
	before.walk(before.all(), func(n node) { was[at(before, n)] = n })
	after.walk(after.all(), func(n node) {
		here := at(after, n)
		_, there := was[here]
		delete(was, here)
		if !there || after.touches(n, keys) {
			write = append(write, wanted{table: "nat", name: after.name(n), tree: after, node: n})
		}
	})
	for _, n := range was {
		gone = append(gone, before.name(n))
	}
	slices.Sort(gone)
	return write, gone
}
