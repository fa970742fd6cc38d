// Package http2 is HTTP/2 (RFC 9113) on an event loop: the server that clients of the entry talk to, and the client that talks to
// gRPC backends.
//
//	net.Conn ──► conn: frames, HPACK, flow control, floods ──► stream: a task, message.Stream ──► the engine's serve
//	    ▲                          │
//	    └────── writer task ◄──────┘ out: what all streams have written, flushed once per turn of the loop
//
// A connection has two tasks of its own: one reads frames and hands them to their streams, one writes what was collected. Nothing
// is locked, as all of them run on one loop. Priorities are ignored (RFC 9113 5.3 has deprecated them), pushes are never made.
package http2
