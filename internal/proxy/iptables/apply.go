package iptables

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"slices"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// change is what one table of a family has to become.
type change struct {
	table string
	// write are the chains to write, in the order of descending; fixed ones come last.
	write []wanted
	// gone are chains to delete, remove and insert rules of chains that are not ours.
	gone           []string
	remove, insert []string
	// list has the nft variant list the table at the beginning. From then on it holds on to all chains; before, it walks
	// a list of all chains named so far at each line, which for 10,000 Services takes longer than all the rest. The
	// kernel's own chains must have been changed by then: what it lists, it takes for there.
	list bool
	// sums receives the hashes of the chains written.
	sums map[string]uint64
}

func (c *change) empty() bool {
	return len(c.write)+len(c.gone)+len(c.remove)+len(c.insert) == 0
}

// rejump brings the rules of the kernel's own chains that lead to ours into order.
func (c *change) rejump(have map[string][]string, jumps []jumpRule) {
	want := map[string][]string{} // in the order of their insertion
	for _, j := range jumps {
		if j.table == c.table {
			want[j.chain] = append(want[j.chain], j.line())
		}
	}
	chains := slices.Sorted(maps.Keys(have))
	for chain := range want {
		if have[chain] == nil {
			chains = append(chains, chain)
		}
	}
	slices.Sort(chains)
	for _, chain := range chains {
		standing := slices.Clone(want[chain])
		slices.Reverse(standing)
		if !slices.Equal(standing, have[chain]) {
			c.remove = append(c.remove, have[chain]...)
			c.insert = append(c.insert, want[chain]...)
		}
	}
}

// restore makes the changes of a family's tables in one call of iptables-restore, the filter table first: it is what
// the marks that the nat table sets are for.
func (b *Backend) restore(ctx context.Context, f *family, r *renderer, report *plan.Report, changes ...*change) error {
	changes = slices.DeleteFunc(changes, (*change).empty)
	if len(changes) == 0 {
		return nil
	}
	operations := 0
	write := func(w io.Writer) error {
		operations = 0
		for _, c := range changes {
			n, err := c.writeTo(w, r, b.seed)
			if err != nil {
				return err
			}
			operations += n
		}
		return nil
	}
	err := b.kernel.Restore(ctx, f.model, write)
	for try := 1; iptables.IsLocked(err) && try < lockTries && ctx.Err() == nil; try++ {
		b.log.Warn("another program holds the lock of iptables; trying again", "error", err)
		err = b.kernel.Restore(ctx, f.model, write)
	}
	for _, c := range changes {
		if c.list && iptables.IsRefused(err) {
			b.listing, c.list = fails, false
			err = b.kernel.Restore(ctx, f.model, write)
		}
	}
	if err != nil {
		return fmt.Errorf("change the %s rules: %w", f.model, err)
	}
	report.Operations += operations
	return nil
}

// lockTries is how often a Sync waits for the lock of iptables.
const lockTries = 3

// writeTo writes a table in the language of iptables-restore, chain by chain, and returns how many operations that is.
// A chain has to be declared before a rule leads to it: those that there is one of are first declared, and last filled.
func (c *change) writeTo(w io.Writer, r *renderer, seed maphash.Seed) (operations int, err error) {
	t := &text{}
	t.line("*" + c.table)
	for i := range c.write {
		if c.write[i].isFixed() {
			t.declare(c.write[i].name)
		}
	}
	for _, rule := range c.remove {
		t.line("-D " + rule)
	}
	for _, rule := range c.insert {
		t.line("-I " + rule)
	}
	if c.list {
		t.line("-S")
	}
	for _, fixed := range []bool{false, true} {
		for i := range c.write {
			chain := &c.write[i]
			if chain.isFixed() != fixed {
				continue
			}
			if !fixed {
				t.declare(chain.name)
			}
			before := len(t.buf)
			r.render(t, chain)
			c.sums[chain.name] = fingerprint(maphash.Bytes(seed, t.buf[before:]), t.rules)
			operations += 1 + t.rules
			if _, err := w.Write(t.buf); err != nil {
				return 0, err
			}
			t.reset()
		}
	}
	for _, chain := range c.gone {
		t.declare(chain)
	}
	for _, chain := range c.gone {
		t.line("-X " + chain)
	}
	t.line("COMMIT")
	_, err = w.Write(t.buf)
	return operations + len(c.remove) + len(c.insert) + len(c.gone), err
}

// declare makes a chain, or empties it.
func (t *text) declare(chain string) { t.line(":" + chain + " - [0:0]") }

// line appends a line that is no rule.
func (t *text) line(s string) { t.buf = append(append(t.buf, s...), '\n') }
