// Package ingress assembles the entry of a cluster: what `switchyard ingress` runs.
//
//	source.Source ──► selection: which Ingresses are ours, which Secrets they need ──► Routes (package route) ──► Engine.Apply
//	                                                                                      │
//	                                                                              Problems ──► Events; addresses ──► status
//
// The selection hands an Ingress on only once the Secrets that it names were read, so that a certificate never seems to be missing
// for a moment. Changes that come while a table is made are made together.
package ingress
