// Package balance chooses an endpoint of a Backend for each request, and remembers how endpoints do.
//
// A Balancer belongs to an entry and is shared by its event loops. Balancer.Group gives the endpoints of a Backend at one moment:
// an atomic load and a comparison as long as its Pool has not changed. What is known of an endpoint (requests in flight, response
// times, failures) is kept by address: it outlives changes of pools and of tables, and two Backends with one pod share it.
//
// Nothing here blocks but the look-up of an ExternalName, which the caller runs outside of its event loop.
package balance
