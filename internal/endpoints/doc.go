// Package endpoints keeps the EndpointSlices and Endpoints of Services equal to the pods that their selectors choose.
//
// It holds the three controllers that kube-controller-manager 1.37 runs for this (EndpointSlice, Endpoints and
// EndpointSlice mirroring) with upstream's names, labels, limits, Events and metrics, so that one can take the place of
// the other. What differs is how a pod finds its Services: upstream walks every Service of the namespace at each pod
// event and lists every pod of the namespace at each sync, while here an index (see membership) answers both in time
// that depends on neither number.
//
// docs/endpoints.md describes the behaviour, the index and the flags.
package endpoints
