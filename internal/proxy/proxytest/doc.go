// Package proxytest holds the one packet table of the project: which packet to a Service must meet which fate.
//
// The table is testdata/*.txtar: Kubernetes objects as YAML, and probes that say who sends what to which address, which
// endpoints answer it (or that it is rejected, dropped or left alone), and whose source address they see:
//
//	-- objects.yaml --
//	apiVersion: v1
//	kind: Service
//	...
//	-- probes --
//	[1 24] local-1 -> 10.96.0.10:80/TCP = local-1(masqueraded) remote-1, kept
//	[9]    client  -> 10.96.0.11:80/UDP = reject
//
// Sections whose names end in .2, .3, … are later states of the same cluster, and "delete.2" names the objects that are
// gone by then. "config.yaml" sets the node's configuration, "plan" and a section per backend are golden dumps.
//
// Every probe runs against plan.Trace (the oracle), and with Run against a Backend in real network namespaces: real
// connections between the hosts that Topology describes. A probe names the rules of docs/semantics.md that it shows.
package proxytest
