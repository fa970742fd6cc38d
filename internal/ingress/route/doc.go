// Package route is the compiled table of an entry: which location serves a request, and which endpoints may.
//
//	model.Snapshot ──► settings.Parse ──► Builder.Update ──► *Table ──► an engine (native, nginx), `ingress routes`, `ingress check`
//
//	func New(Config) *Builder                                              // Config: class filter, node, names of ConfigMaps and defaults
//	func (*Builder) Update(*model.Snapshot, model.Changes) (*Table, Report) // Report: problems by object, what else to read
//	func Build(*model.Snapshot, Config) (*Table, Report)                   // all at once
//	func (*Table) Host(name string) *Host                                  // never nil
//	func (*Host) Match(path string) *Location                              // of CleanPath's result
//	func (*Table) Pool(*Backend) *Pool                                     // never nil
//	func (*Table) Dump() string
//	func References(*model.Ingress, …) []Reference                         // the Secrets and ConfigMaps an Ingress names
//
// A Table is immutable and pure: the same snapshot gives the same table in any order of events, and what one Ingress has wrong
// is a Problem of that Ingress and changes no host but its own. A change costs in proportion to itself: hosts, locations and pools
// that did not change are shared with the table before, as the same pointers.
package route
