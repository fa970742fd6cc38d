// Package stream carries connections and datagrams that the entry does not look into: the TCP and UDP services of ingress-nginx's
// tcp-services and udp-services, and TLS connections that are passed through.
//
//	loop.Listener ──► PROXY protocol in ──► Carrier: endpoint, Dial, PROXY protocol out ──► both ways until both have ended
//	kernel/relay  ──► flows of UDP, each to one endpoint
//
// A change of the table opens and closes ports. What is under way stays: a connection outlives its port, its Service and the
// readiness of its endpoint, and ends when one of its sides ends it, or both were silent for too long.
package stream
