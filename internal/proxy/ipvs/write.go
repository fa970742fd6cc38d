package ipvs

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/plan"
)

// tableNames are the tables that have chains of ours.
func tableNames() []string { return []string{"mangle", "filter", "nat"} }

// writeRules makes sure of a family's rules. It reads them if the tables are not as they were left. iptables-save shows
// rules otherwise than they were written; they are taken to be right if the digest in each table is, and there are as
// many as there should be.
func (b *Backend) writeRules(ctx context.Context, f *family, r *rules, report *plan.Report) error {
	before, err := b.deps.Rules.Stamp(ctx, f.model)
	if err != nil {
		return fmt.Errorf("look at the %s rules: %w", f.model, err)
	}
	if f.written == r.digest && f.stamp == before {
		return nil
	}
	f.written = ""
	saved, err := b.savedRules(ctx, f)
	if err != nil {
		return err
	}
	tables := r.tables()
	if areWritten(tables, r.digest, saved) {
		f.written, f.stamp = r.digest, before
		return nil
	}
	if err := b.deps.Rules.Restore(ctx, f.model, func(w io.Writer) error { return writeTables(w, tables, saved) }); err != nil {
		return fmt.Errorf("write the %s rules: %w", f.model, err)
	}
	for _, t := range tables {
		report.Operations += len(t.rules())
	}
	// What another program changes meanwhile is found by the next comparison of everything.
	if f.stamp, err = b.deps.Rules.Stamp(ctx, f.model); err == nil {
		f.written = r.digest
	}
	return err
}

// areWritten reports whether what iptables-save shows is what was written.
func areWritten(tables []table, digest, saved string) bool {
	for _, t := range tables {
		rules := strings.Count(saved, t.name+" -A ")
		digests := 0
		for line := range strings.Lines(saved) {
			if strings.HasPrefix(line, t.name+" -A ") && strings.Contains(line, digest) {
				digests++
			}
		}
		if rules != len(t.rules()) || digests != 1 {
			return false
		}
		for _, h := range t.hooks {
			if !strings.Contains(saved, t.name+" -A "+h.rule()+"\n") {
				return false
			}
		}
	}
	return true
}

// savedRules returns those lines of iptables-save that are about our chains, each behind the name of its table.
func (b *Backend) savedRules(ctx context.Context, f *family) (string, error) {
	var out strings.Builder
	table := ""
	err := b.deps.Rules.Save(ctx, f.model, "", func(line []byte) error {
		line = bytes.TrimSpace(line)
		if name, ok := bytes.CutPrefix(line, []byte("*")); ok {
			table = string(name)
		} else if isOurs(line) {
			fmt.Fprintf(&out, "%s %s\n", table, withoutCounters(line))
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("read the %s rules: %w", f.model, err)
	}
	return out.String(), nil
}

// isOurs reports whether a line declares one of our chains, is in one, or leads to one.
func isOurs(line []byte) bool {
	return bytes.HasPrefix(line, []byte(":"+prefix)) || bytes.HasPrefix(line, []byte("-A ")) && bytes.Contains(line, []byte(" "+prefix))
}

// withoutCounters cuts the counters off the declaration of a chain.
func withoutCounters(line []byte) []byte {
	if line[0] != ':' {
		return line
	}
	declaration, _, _ := bytes.Cut(line, []byte(" ["))
	return declaration
}

// writeTables writes the input of iptables-restore. Each table comes into force as a whole. Jumps that are there already
// stay where they are.
func writeTables(w io.Writer, tables []table, saved string) error {
	out := bufio.NewWriter(w)
	for _, t := range tables {
		fmt.Fprintf(out, "*%s\n", t.name)
		for _, c := range t.chains {
			fmt.Fprintf(out, ":%s - [0:0]\n", c.name)
		}
		for _, c := range t.chains {
			for _, rule := range c.rules {
				fmt.Fprintf(out, "-A %s %s\n", c.name, rule)
			}
		}
		for _, h := range t.hooks {
			if !strings.Contains(saved, t.name+" -A "+h.rule()+"\n") {
				fmt.Fprintf(out, "-I %s\n", h.rule())
			}
		}
		fmt.Fprintln(out, "COMMIT")
	}
	return out.Flush()
}

// removeRules removes all jumps to our chains, and the chains.
func (b *Backend) removeRules(ctx context.Context, f *family) error {
	saved, err := b.savedRules(ctx, f)
	if err == nil && saved == "" {
		return nil
	}
	if err != nil {
		return err
	}
	err = b.deps.Rules.Restore(ctx, f.model, func(w io.Writer) error { return writeRemoval(w, saved) })
	if err != nil {
		return fmt.Errorf("remove the %s rules: %w", f.model, err)
	}
	return nil
}

func writeRemoval(w io.Writer, saved string) error {
	out := bufio.NewWriter(w)
	for _, table := range tableNames() {
		var jumps, chains []string
		for line := range strings.Lines(saved) {
			name, line, _ := strings.Cut(strings.TrimSpace(line), " ")
			if name != table {
				continue
			}
			if declared, ok := strings.CutPrefix(line, ":"); ok {
				chain, _, _ := strings.Cut(declared, " ")
				chains = append(chains, chain)
			} else if rule := strings.TrimPrefix(line, "-A "); !strings.HasPrefix(rule, prefix) {
				jumps = append(jumps, rule)
			}
		}
		if len(chains) == 0 {
			continue
		}
		slices.Sort(chains)
		fmt.Fprintf(out, "*%s\n", table)
		for _, c := range chains {
			fmt.Fprintf(out, ":%s - [0:0]\n", c)
		}
		for _, j := range jumps {
			fmt.Fprintf(out, "-D %s\n", j)
		}
		for _, c := range chains {
			fmt.Fprintf(out, "-X %s\n", c)
		}
		fmt.Fprintln(out, "COMMIT")
	}
	return out.Flush()
}
