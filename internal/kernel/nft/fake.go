package nft

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Fake is an nf_tables that lives in memory. It reads the same bytes that a Conn would send, and accepts and refuses
// them as the kernel does: a transaction with one wrong change does nothing, names must be there or must not, what is
// referred to cannot be deleted. The zero Fake is empty and ready to use. It is safe for concurrent use.
type Fake struct {
	// Fault, unless nil, is asked before each call; its error is returned in place of an answer.
	Fault func(call string) error
	// LateRelease makes it behave as kernels before 6.2: the chain that an element led to stays in use for a while after
	// the element is deleted, here until the end of the next call of Run.
	LateRelease bool
	// NoIPv6 makes it behave as a kernel that was booted without IPv6: base chains of that family are refused.
	NoIPv6 bool
	// Lacks names expressions that it refuses, as a kernel that is built without them does.
	Lacks []string

	mu         sync.Mutex
	tables     map[tableKey]*fakeTable // guarded by mu
	generation uint32                  // guarded by mu
	held       []chainKey              // chains that are still in use, by LateRelease; guarded by mu
}

type tableKey struct {
	family Family
	name   string
}

type chainKey struct {
	table tableKey
	chain string
}

type fakeTable struct {
	comment string
	chains  map[string]*fakeChain
	sets    map[string]*fakeSet
}

type fakeChain struct {
	Chain
	rules []Rule
}

type fakeSet struct {
	Set
	elements map[string]fakeElement
}

type fakeElement struct {
	data    string
	verdict Verdict
}

func (f *Fake) fault(ctx context.Context, call string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.Fault == nil {
		return nil
	}
	return f.Fault(call)
}

// Run does what Conn.Run does.
func (f *Fake) Run(ctx context.Context, tx *Transaction) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fault(ctx, "run"); err != nil {
		return err
	}
	batch := tx.batch()
	if len(batch) == 0 {
		return nil
	}
	next := fakeBatch{tables: cloneTables(f.tables), late: f.LateRelease, held: f.held, noIPv6: f.NoIPv6, lacks: f.Lacks}
	f.held = nil
	err := messages(batch, func(m message) error {
		if m.typ>>8 != unix.NFNL_SUBSYS_NFTABLES {
			return nil
		}
		if errno := next.apply(m); errno != 0 {
			return &Error{Change: describe(m, 0), Errno: errno}
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.tables, f.held = next.tables, next.released
	f.generation++
	return nil
}

func cloneTables(tables map[tableKey]*fakeTable) map[tableKey]*fakeTable {
	out := map[tableKey]*fakeTable{}
	for key, t := range tables {
		c := &fakeTable{comment: t.comment, chains: map[string]*fakeChain{}, sets: map[string]*fakeSet{}}
		for name, chain := range t.chains {
			c.chains[name] = &fakeChain{chain.Chain, slices.Clone(chain.rules)}
		}
		for name, set := range t.sets {
			elements := make(map[string]fakeElement, len(set.elements))
			for k, v := range set.elements {
				elements[k] = v
			}
			c.sets[name] = &fakeSet{set.Set, elements}
		}
		out[key] = c
	}
	return out
}

// List does what Conn.List does.
func (f *Fake) List(ctx context.Context, t Table) (*Listing, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fault(ctx, "list"); err != nil {
		return nil, err
	}
	table, ok := f.tables[tableKey{t.Family, t.Name}]
	if !ok {
		return nil, nil
	}
	l := &Listing{}
	for _, name := range sortedKeys(table.chains) {
		l.Chains = append(l.Chains, table.chains[name].Chain)
		l.Rules = append(l.Rules, table.chains[name].rules...)
	}
	for _, name := range sortedKeys(table.sets) {
		l.Sets = append(l.Sets, table.sets[name].Set)
	}
	return l, nil
}

// Elements does what Conn.Elements does.
func (f *Fake) Elements(ctx context.Context, t Table, set string, _ func(), visit func(Element)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fault(ctx, "elements"); err != nil {
		return err
	}
	table, ok := f.tables[tableKey{t.Family, t.Name}]
	if !ok || table.sets[set] == nil {
		return unix.ENOENT
	}
	elements := table.sets[set].elements
	for _, key := range sortedKeys(elements) {
		visit(Element{Key: []byte(key), Data: []byte(elements[key].data), Verdict: elements[key].verdict})
	}
	return nil
}

// Generation does what Conn.Generation does.
func (f *Fake) Generation(ctx context.Context) (uint32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.generation, f.fault(ctx, "generation")
}

// Learn puts an element into a dynamic map, as a packet does through a rule with Update.
func (f *Fake) Learn(t Table, set string, key, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	elements := f.tables[tableKey{t.Family, t.Name}].sets[set].elements
	if _, known := elements[string(key)]; !known {
		elements[string(key)] = fakeElement{data: string(data)}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
