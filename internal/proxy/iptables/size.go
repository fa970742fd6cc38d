package iptables

import (
	"github.com/switchyard-net/switchyard/internal/plan"
)

// countBits is how many bits of a chain's fingerprint are the number of its rules.
const countBits = 16

// fingerprint puts the number of a chain's rules into the hash of them, so that all can be counted at no cost in memory.
func fingerprint(hash uint64, rules int) uint64 {
	const mask = 1<<countBits - 1
	return hash&^mask | uint64(min(rules, mask))
}

// rulesets counts what the kernel has of ours, for metrics.
func (b *Backend) rulesets() []plan.Ruleset {
	var list []plan.Ruleset
	for _, f := range b.families {
		if f.missing {
			continue
		}
		for _, t := range []struct {
			name   string
			chains map[string]uint64
		}{{"nat", f.have}, {"filter", f.filter}} {
			r := plan.Ruleset{Family: f.model, Table: t.name, Chains: len(t.chains)}
			for _, sum := range t.chains {
				r.Rules += int(sum & (1<<countBits - 1))
			}
			list = append(list, r)
		}
	}
	return list
}
