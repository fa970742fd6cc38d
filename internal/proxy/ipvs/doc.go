// Package ipvs is the backend whose connections are spread by the kernel's IP Virtual Server, with any of its
// schedulers.
//
// A virtual server stands for a pool, not for an address: packets reach it by a mark, which an ipset gives to the first
// packet of a connection to a frontend. So no address of a Service is ever the node's own, node ports need no virtual
// server of each address, and the addresses of a Service port share their session affinity. See README.md.
package ipvs
