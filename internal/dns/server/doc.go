// Package server runs CoreDNS inside of the process, configured by a Corefile, with the cluster zone (package plugin) in the
// place of its kubernetes plugin and the fast path (package fastpath) in front.
//
//	Corefile ──► caddy.Instance: listeners, one plugin chain a server block
//	   │              ▲ everything else, in process
//	   └─ Blocks ──► fastpath.Routes ──► sockets of the same addresses
//
// CoreDNS is embedded as the package comment of its core/dnsserver describes. Its list of directives and its registry of
// plugins belong to the process: they are set once, by the first New.
package server
