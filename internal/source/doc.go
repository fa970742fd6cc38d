// Package source is the only reader of the API server: it turns Services, EndpointSlices, Nodes and ServiceCIDRs into
// immutable model.Snapshots, each with what changed since the one before.
//
//	API server ──list+watch──► feed (one a kind) ──convert──► state ──► Subscription.Next (any number of consumers)
//
// A feed asks for the present state as a stream (WatchList, KEP-3157), or in pages where the API server does not offer
// that, converts each object as it arrives and keeps nothing of the original. A fresh state replaces what is held in one
// step, and only real differences count as changes.
//
// Secrets and ConfigMaps are read by name, and only those that a consumer wants (Want, named.go).
//
// While the API server cannot be reached, the last state stays; Ready and the metrics tell how old it is.
package source
