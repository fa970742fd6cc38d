// Package plugin is the CoreDNS plugin `switchyard`: the cluster zone in the chain of a server block. It also takes the
// place of the directive `kubernetes`, with its options, so that a Corefile written for CoreDNS works as it is.
package plugin
