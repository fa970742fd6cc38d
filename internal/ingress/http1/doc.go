// Package http1 is HTTP/1.1 (RFC 9110, RFC 9112) on an event loop: the server that clients of the entry talk to, and the client
// that talks to endpoints.
//
//	loop.Conn (or TLS over it) ──► reader ──► request head ──► Conn, a message.Stream ──► the engine's serve
//	                                                            ▲
//	endpoint ◄── Client: request head and body out, response head and body in ◄┘
//
// Heads are parsed in one pass into slices of the buffer that they were read into. What is ambiguous is refused, never guessed:
// a message that two programs could read differently ends in 400 and close (from a client) or 502 (from an endpoint). So are
// Content-Length together with Transfer-Encoding, either of them twice, codings other than chunked, line folding, bare CR or LF,
// NUL and other control characters, names that are no tokens, white space before the colon, and chunk sizes that are no numbers.
// Chunk extensions are dropped.
package http1
