package plan

import "github.com/switchyard-net/switchyard/internal/model"

// Update is a plan and where it differs from the one of the last successful Sync of a backend.
type Update struct {
	Plan *Plan
	// Changed names the Services that may differ; not used where Full is true.
	Changed []model.Ref
	// Full asks for a comparison of everything with the kernel's real state: at the start, after an error,
	// from time to time, and when Plan.Node changed.
	Full bool
}

// Report is what a backend did, and what it could not do.
type Report struct {
	// Operations counts the changes to the kernel (elements, rules, chains, … added or deleted).
	Operations int
	// Repaired counts those that undid an outside change: found by a full Sync although no Service had changed.
	Repaired int
	// Unsupported lists capabilities that the kernel lacks or that the mode does not have.
	Unsupported []Unsupported
	// Rulesets say how much the backend keeps in the kernel; nil: it does not know.
	Rulesets []Ruleset
}

// Ruleset counts what a backend keeps in one of the kernel's tables.
type Ruleset struct {
	Family model.Family
	// Table is the kernel's name of it, such as "nat".
	Table string
	// Rules and Chains are those of the backend alone.
	Rules, Chains int
}

// Unsupported is something that a plan asks for and a node cannot do.
type Unsupported struct {
	// Capability names it, e.g. "nodePorts on loopback addresses".
	Capability string
	// Consequence says what users see.
	Consequence string
	// Remedy is the way out.
	Remedy string
	// Services names those affected; nil: all.
	Services []model.Ref
}
