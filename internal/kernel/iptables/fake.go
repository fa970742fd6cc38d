package iptables

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Fake is an iptables without a kernel. It understands the language of iptables-restore as far as the structure goes:
// tables, chains, the order of rules, and what refers to what; the words of a rule it keeps as they are. Like the nft
// variant it wants a chain to be declared before a rule leads there. The zero value is empty. It is safe for concurrent
// use.
type Fake struct {
	// Fault, if set, is asked before each call ("restore", "save", "stamp"), and its error is that of the call.
	Fault func(call string) error
	// Held is for how many calls of Restore another program holds the lock.
	Held int
	// Is is the variant; empty: Legacy.
	Is Variant
	// NoIPv6 refuses everything of IPv6.
	NoIPv6 bool
	// Full is what FullLists returns.
	Full int
	// Lacks are words of rules, such as "recent", that are refused.
	Lacks []string

	mu      sync.Mutex
	tables  map[model.Family]map[string]fakeTable
	commits map[model.Family]uint64
}

// fakeTable holds the rules of a table's chains, without "-A " and the chain's name.
type fakeTable map[string][]string

// builtin returns the chains that the kernel makes.
func builtin(table string) []string {
	switch table {
	case "nat":
		return []string{"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"}
	case "mangle":
		return []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
	}
	return []string{"INPUT", "FORWARD", "OUTPUT"}
}

// targets are the extensions that rules may lead to.
func targets() []string {
	return []string{"ACCEPT", "DROP", "RETURN", "MARK", "DNAT", "MASQUERADE", "REJECT", "CONNMARK", "SET"}
}

func refused(format string, args ...any) error {
	return &Error{Program: "fake-restore", Err: errRefused, Output: fmt.Sprintf(format, args...)}
}

func (f *Fake) fails(call string) error {
	if f.Fault != nil {
		return f.Fault(call)
	}
	return nil
}

// Variant is that of Conn.
func (f *Fake) Variant() Variant {
	if f.Is == "" {
		return Legacy
	}
	return f.Is
}

// Restore is that of Conn.
func (f *Fake) Restore(_ context.Context, family model.Family, write func(io.Writer) error) error {
	if err := f.fails("restore"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Held > 0 {
		f.Held--
		return &Error{Program: "fake-restore", Err: errRefused, Output: "Another app is currently holding the xtables lock", locked: true}
	}
	if f.NoIPv6 && family == model.IPv6 {
		return refused("Table does not exist")
	}
	var script bytes.Buffer
	if err := write(&script); err != nil {
		return err
	}
	return f.run(family, script.String())
}

// run carries a script out, table by table.
func (f *Fake) run(family model.Family, script string) error {
	if f.tables == nil {
		f.tables, f.commits = map[model.Family]map[string]fakeTable{}, map[model.Family]uint64{}
	}
	if f.tables[family] == nil {
		f.tables[family] = map[string]fakeTable{}
	}
	name, table := "", fakeTable(nil)
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "*"):
			name = line[1:]
			table = f.open(family, name)
		case table == nil:
			return refused("%q is outside of a table", line)
		case line == "COMMIT":
			if err := table.check(); err != nil {
				return err
			}
			f.tables[family][name], table = table, nil
			f.commits[family]++
		default:
			if err := f.command(table, name, line); err != nil {
				return err
			}
		}
	}
	if table != nil {
		return refused("COMMIT expected")
	}
	return nil
}

// open returns a copy of a table, which changes come into force with.
func (f *Fake) open(family model.Family, name string) fakeTable {
	table := fakeTable{}
	for _, chain := range builtin(name) {
		table[chain] = nil
	}
	for chain, rules := range f.tables[family][name] {
		table[chain] = slices.Clone(rules)
	}
	return table
}

// command carries a line out.
func (f *Fake) command(t fakeTable, table, line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	if strings.HasPrefix(line, ":") {
		chain := verb[1:]
		if len(chain) > 28 || chain == "" || strings.HasPrefix(chain, "-") || rest != "- [0:0]" {
			return refused("bad chain in %q", line)
		}
		t[chain] = nil
		return nil
	}
	if line == "-S" && f.Is == NFT {
		return nil
	}
	chain, rule, _ := strings.Cut(rest, " ")
	rules, ok := t[chain]
	if !ok {
		return refused("no chain %q: %s", chain, line)
	}
	switch verb {
	case "-A", "-I":
		if err := f.checkRule(t, rule); err != nil {
			return err
		}
		at := 0
		if verb == "-A" {
			at = len(rules)
		}
		t[chain] = slices.Insert(rules, at, rule)
	case "-D":
		i := slices.Index(rules, rule)
		if i < 0 {
			return refused("no such rule: %s", line)
		}
		t[chain] = slices.Delete(rules, i, i+1)
	case "-X":
		if len(rules) > 0 || slices.Contains(builtin(table), chain) {
			return refused("chain %s is not empty, or not to be deleted", chain)
		}
		delete(t, chain)
	case "-F":
		t[chain] = nil
	default:
		return refused("unknown command %q", line)
	}
	return nil
}

// checkRule refuses a rule that leads nowhere, or that this Fake lacks something for.
func (f *Fake) checkRule(t fakeTable, rule string) error {
	for _, word := range strings.Fields(rule) {
		if slices.Contains(f.Lacks, word) {
			return refused("Extension %s is not supported, missing kernel module?", word)
		}
	}
	if strings.Count(rule, `"`)%2 != 0 {
		return refused("quotes do not match: %s", rule)
	}
	next := Target(rule)
	if _, ok := t[next]; next != "" && !ok && !slices.Contains(targets(), next) {
		return refused("no chain or target %q: %s", next, rule)
	}
	return nil
}

// check refuses a table with rules that lead to chains that are gone.
func (t fakeTable) check() error {
	for chain, rules := range t {
		for _, rule := range rules {
			next := Target(rule)
			if _, ok := t[next]; next != "" && !ok && !slices.Contains(targets(), next) {
				return refused("chain %s is still in use: -A %s %s", next, chain, rule)
			}
		}
	}
	return nil
}

// Save is that of Conn.
func (f *Fake) Save(_ context.Context, family model.Family, table string, line func([]byte) error) error {
	if err := f.fails("save"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.NoIPv6 && family == model.IPv6 {
		return refused("Table does not exist")
	}
	for _, name := range slices.Sorted(maps.Keys(f.tables[family])) {
		if table != "" && table != name {
			continue
		}
		for _, l := range f.tables[family][name].lines(name) {
			if err := line([]byte(l)); err != nil {
				return err
			}
		}
	}
	return nil
}

// lines returns a table as iptables-save prints it.
func (t fakeTable) lines(table string) []string {
	chains := slices.Sorted(maps.Keys(t))
	lines := []string{"*" + table}
	for _, chain := range chains {
		policy := "-"
		if slices.Contains(builtin(table), chain) {
			policy = "ACCEPT"
		}
		lines = append(lines, fmt.Sprintf(":%s %s [0:0]", chain, policy))
	}
	for _, chain := range chains {
		for _, rule := range t[chain] {
			lines = append(lines, "-A "+chain+" "+rule)
		}
	}
	return append(lines, "COMMIT")
}

// Stamp is that of Conn.
func (f *Fake) Stamp(_ context.Context, family model.Family) (Stamp, error) {
	if err := f.fails("stamp"); err != nil {
		return Stamp{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return Stamp{f.commits[family]}, nil
}

// FullLists is that of Conn.
func (f *Fake) FullLists(string) (int, error) { return f.Full, nil }
