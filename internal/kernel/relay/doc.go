// Package relay carries bytes between clients' sockets and servers' sockets: TCP connections and UDP flows.
//
// Each worker is one thread with one epoll(7) that owns its connections from accept to close, so nothing is locked on
// the way of a byte. Short exchanges are copied through one buffer of the worker; long streams are spliced through pipes
// and never copied (splice(2)). A connection holds memory of its own only while its receiver is slower than its sender:
// one buffer or pipe for each direction, after which the sender is made to wait by TCP itself.
//
// Where a connection goes is up to a Router, which is asked again when a server does not accept.
package relay
