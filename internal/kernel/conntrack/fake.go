package conntrack

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Fake is a connection tracking table in memory. It is safe for concurrent use.
type Fake struct {
	// Fail, if set, is asked before each operation ("list", "delete") for the error to fail with.
	Fail func(operation string) error

	mu     sync.Mutex
	flows  []Flow       // of UDP; guarded by mu
	others []Connection // guarded by mu
	lists  int          // guarded by mu
}

// Add puts flows into the table and gives those without an ID one.
func (t *Fake) Add(flows ...Flow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range flows {
		if f.ID == 0 {
			f.ID = uint32(len(t.flows) + 1)
		}
		t.flows = append(t.flows, f)
	}
}

// Track has the table hold these besides what Add put into it, in place of those of the call before.
func (t *Fake) Track(connections ...Connection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.others = connections
}

// Marked is Table.Marked, of what Track was given.
func (t *Fake) Marked(family model.Family, mark uint32) ([]Connection, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.fail("list"); err != nil {
		return nil, err
	}
	var out []Connection
	for _, c := range t.others {
		if model.FamilyOf(c.Destination.Addr()) == family && c.Mark&mark == mark {
			out = append(out, c)
		}
	}
	return out, nil
}

// UDPFlows is Table.UDPFlows.
func (t *Fake) UDPFlows(family model.Family, keep func(Flow) bool) ([]Flow, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lists++
	if err := t.fail("list"); err != nil {
		return nil, err
	}
	var out []Flow
	for _, f := range t.flows {
		if model.FamilyOf(f.Destination.Addr()) == family && keep(f) {
			out = append(out, f)
		}
	}
	return out, nil
}

// Delete is Table.Delete.
func (t *Fake) Delete(flows []Flow) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.fail("delete"); err != nil {
		return 0, err
	}
	before := len(t.flows)
	t.flows = slices.DeleteFunc(t.flows, func(f Flow) bool { return slices.Contains(flows, f) })
	return before - len(t.flows), nil
}

func (t *Fake) fail(operation string) error {
	if t.Fail == nil {
		return nil
	}
	return t.Fail(operation)
}

// Lists returns how often the table was listed.
func (t *Fake) Lists() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lists
}

// Dump returns one line a flow, "source > destination = reply source", sorted.
func (t *Fake) Dump() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for _, f := range t.flows {
		lines = append(lines, fmt.Sprintf("%s > %s = %s\n", f.Source, f.Destination, f.ReplySource))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
