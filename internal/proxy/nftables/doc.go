// Package nftables makes the kernel's nf_tables equal to a plan, with a constant number of sets: a Service is a few
// elements of maps and never an object of its own, so that a change costs the same in any cluster.
//
// README.md shows the table and explains how to read it.
package nftables
