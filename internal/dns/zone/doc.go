// Package zone is the name table of the cluster zone: a snapshot in, the answers of the Kubernetes DNS specification
// 1.1.0 out (https://github.com/kubernetes/dns/blob/master/docs/specification.md), with what CoreDNS's kubernetes plugin
// adds.
//
// A Table holds the facts, immutable and compact: no name is stored a second time, an answer is put together from the
// snapshot's own values when somebody asks. Live keeps the present Table and derives the next one at the cost of what
// changed. A Zones holds what one server block of a Corefile says, and answers from a Table; it is used by the fast path
// and by the plugin alike, so that both give the same answer.
package zone
