// Package e2e holds the end-to-end tests: they drive switchyard-standalone as its users do, by its command line, kubectl
// and client-go.
//
// TestMain starts one cluster of two nodes that tests share; they make namespaces of their own in it. Tests that break a
// cluster start another one. The tests need root, and what `make build` leaves in bin.
package e2e
