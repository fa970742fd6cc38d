// Package proxy keeps the kernel's Service rules equal to the plan, once for all backends: it paces, retries, and
// reconciles, and reports what a node's health checks and metrics need.
package proxy

import (
	"context"

	"github.com/switchyard-net/switchyard/internal/plan"
)

// Backend makes the kernel equal to a plan. A Backend is used from one goroutine at a time.
type Backend interface {
	// Sync makes the kernel equal to u.Plan. The first Sync, and the next one after an error, start from the
	// kernel's real state, whatever Changed says. A failed Sync leaves either the old or the new rules of each
	// Service in force, never a mixture.
	Sync(ctx context.Context, u plan.Update) (plan.Report, error)
	// Cleanup removes all that the backend ever made in the kernel; it is idempotent.
	Cleanup(ctx context.Context) error
}

// Inspector is a Backend that can tell cheaply whether its rules are still as its last Sync left them. It is asked
// about once a second; a Backend that is none is compared with the kernel in full every SyncPeriod instead.
type Inspector interface {
	// Intact reports whether nobody else can have changed the rules since the last successful Sync. False, or an
	// error, leads to a full Sync.
	Intact(ctx context.Context) (bool, error)
}

// Prober is a Backend that can tell whether the kernel has what its mode needs at all.
type Prober interface {
	// Supported returns nil, or an error that names what is missing (a module, a program) and how to get it. What it
	// tries is never in force.
	Supported(ctx context.Context) error
}

// Retirer is a Backend whose established connections need it, as conntrack alone does not carry them on.
type Retirer interface {
	// Retire takes new connections off the backend, now that another mode has its rules in force, and returns how many
	// established ones still need it: Cleanup ends those. It is called again until there is none.
	Retire(ctx context.Context) (left int, err error)
}
