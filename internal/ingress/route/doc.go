// Package route is the compiled table of an entry: which location serves a request, and which endpoints may.
//
//	model.Snapshot ──► settings.Parse ──► Build / Table.Update ──► *Table ──► an engine (native, nginx), `ingress routes`, `ingress check`
//
// It is pure: a Table is immutable, the same snapshot gives the same table in any order of events, and what one Ingress has wrong
// is a Problem of that Ingress and changes no host but its own. A change costs in proportion to itself: hosts that did not change
// are shared with the table before.
package route
