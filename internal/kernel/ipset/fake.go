package ipset

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Fake is an ip_set that lives in memory and accepts and refuses changes as the kernel does. The zero Fake is empty and
// ready to use. It is safe for concurrent use.
type Fake struct {
	// Fault, unless nil, is asked before each call; its error is returned in place of an answer.
	Fault func(call string) error
	// Busy are the names of sets that rules use.
	Busy map[string]bool

	mu   sync.Mutex
	sets map[string]*fakeSet // guarded by mu
}

type fakeSet struct {
	Set
	entries map[Entry]uint32 // marks by keys
}

func (f *Fake) fault(call string) error {
	if f.Fault == nil {
		return nil
	}
	return f.Fault(call)
}

// Create makes a set.
func (f *Fake) Create(_ context.Context, s Set) error {
	if err := f.fault("create"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sets[s.Name] != nil {
		return fmt.Errorf("create the set %s: %w", s.Name, ErrOther)
	}
	if f.sets == nil {
		f.sets = map[string]*fakeSet{}
	}
	f.sets[s.Name] = &fakeSet{s, map[Entry]uint32{}}
	return nil
}

// Destroy removes a set.
func (f *Fake) Destroy(_ context.Context, s Set) error {
	if err := f.fault("destroy"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.sets[s.Name] == nil:
		return fmt.Errorf("destroy the set %s: %w", s.Name, ErrNotExist)
	case f.Busy[s.Name]:
		return fmt.Errorf("destroy the set %s: %w", s.Name, ErrBusy)
	}
	delete(f.sets, s.Name)
	return nil
}

// List returns the elements of a set, in order.
func (f *Fake) List(_ context.Context, s Set) ([]Entry, error) {
	if err := f.fault("list"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	set, err := f.find(s)
	if err != nil {
		return nil, fmt.Errorf("list the set %s: %w", s.Name, err)
	}
	return set.list(), nil
}

func (f *Fake) find(s Set) (*fakeSet, error) {
	set := f.sets[s.Name]
	if set == nil {
		return nil, ErrNotExist
	}
	if set.Set != s {
		return nil, ErrOther
	}
	return set, nil
}

func (s *fakeSet) list() []Entry {
	list := slices.SortedFunc(maps.Keys(s.entries), Entry.Compare)
	for i := range list {
		list[i].Mark = s.entries[list[i]]
	}
	return list
}

// Add adds elements, and gives new marks to those that are there.
func (f *Fake) Add(_ context.Context, s Set, list []Entry) error {
	return f.change("add", s, list, func(set *fakeSet, key Entry, mark uint32) { set.entries[key] = mark })
}

// Delete deletes elements, as far as they are there.
func (f *Fake) Delete(_ context.Context, s Set, list []Entry) error {
	return f.change("delete", s, list, func(set *fakeSet, key Entry, _ uint32) { delete(set.entries, key) })
}

func (f *Fake) change(verb string, s Set, list []Entry, change func(set *fakeSet, key Entry, mark uint32)) error {
	if err := f.fault(verb); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	set, err := f.find(s)
	if err != nil {
		return fmt.Errorf("%s elements of the set %s: %w", verb, s.Name, err)
	}
	for _, e := range list {
		if e.Net.Bits() == 0 {
			return fmt.Errorf("%s %s: %w", verb, e, ErrUnsupported)
		}
		mark := e.Mark
		e.Mark = 0
		change(set, e, mark)
	}
	return nil
}

// Dump returns all sets as text, sorted.
func (f *Fake) Dump() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.sets)) {
		set := f.sets[name]
		fmt.Fprintf(&b, "set %s %s %s\n", name, set.Kind, set.Family)
		for _, e := range set.list() {
			fmt.Fprintf(&b, "  %s\n", e)
		}
	}
	return b.String()
}
