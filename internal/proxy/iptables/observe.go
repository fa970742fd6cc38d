package iptables

import (
	"bytes"
	"context"
	"hash/maphash"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
)

// observed is what the kernel holds of ours in a table.
type observed struct {
	// sums are our chains, with a hash of the rules of each.
	sums map[string]uint64
	// jumps are the rules of other chains that lead to ours, without "-A ", by chain and in order.
	jumps map[string][]string
}

// observer reads the output of iptables-save.
type observer struct {
	observed
	seed  maphash.Seed
	chain string // whose rules are being hashed
	hash  maphash.Hash
	rules int // that were hashed
}

// observe reads a table of a family.
func (b *Backend) observe(ctx context.Context, f *family, table string) (observed, error) {
	o := observer{observed: observed{sums: map[string]uint64{}, jumps: map[string][]string{}}, seed: b.seed}
	o.hash.SetSeed(b.seed)
	if err := b.kernel.Save(ctx, f.model, table, o.line); err != nil {
		return observed{}, err
	}
	o.finish()
	return o.observed, nil
}

func (o *observer) line(line []byte) error {
	switch {
	case bytes.HasPrefix(line, []byte(":")):
		name, _, _ := bytes.Cut(line[1:], []byte(" "))
		if isOurs(string(name)) {
			o.sums[string(name)] = fingerprint(maphash.Bytes(o.seed, nil), 0)
		}
	case bytes.HasPrefix(line, []byte("-A ")):
		rule := line[len("-A "):]
		chain, _, _ := bytes.Cut(rule, []byte(" "))
		if o.chain != string(chain) {
			o.finish()
			o.chain = string(chain)
		}
		if isOurs(o.chain) {
			// Errors are impossible: a maphash.Hash takes everything.
			_, _ = o.hash.Write(line)
			_ = o.hash.WriteByte('\n')
			o.rules++
		} else {
			o.foreign(string(rule))
		}
	}
	return nil
}

// finish ends the chain whose rules were hashed.
func (o *observer) finish() {
	if isOurs(o.chain) {
		o.sums[o.chain] = fingerprint(o.hash.Sum64(), o.rules)
	}
	o.hash.Reset()
	o.rules = 0
	o.chain = ""
}

// foreign notes a rule of another chain, if it leads to ours.
func (o *observer) foreign(rule string) {
	if isOurs(iptables.Target(rule)) {
		o.jumps[o.chain] = append(o.jumps[o.chain], rule)
	}
}
