// Package http3 is HTTP/3 (RFC 9114) for clients of an entry: quic-go's server, whose exchanges are carried to an event loop.
//
//	UDP ──► quic-go: QUIC, HTTP/3, a goroutine for each request ──► exchange: a message.Stream ──► the engine's serve, in a task
//
// What waits for the client runs outside of the loop (Task.Await), which costs some microseconds for each piece: HTTP/3 is there for
// clients on bad networks, not for the highest rate. Data before the end of the handshake (0-RTT) is not taken, as it could be sent
// twice by others.
package http3
