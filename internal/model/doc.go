// Package model holds the facts that Switchyard reads from the Kubernetes API, as compact immutable values.
//
// A value here is a fact and never a decision: what a node must do about it is decided in package plan.
// Nothing in a published value is ever written again, so values are shared between snapshots and goroutines without locks.
package model
