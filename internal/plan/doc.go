// Package plan decides everything that Kubernetes leaves to the node about a Service: which address and port is
// answered, by which endpoints, with which source address, and who is refused.
//
// It is pure: a Service with its slices and this node in, that Service's frontends and pools out. What a backend needs
// to know is here; no backend knows what a Service type, a traffic policy, a zone or readiness is.
package plan
