// Package sni looks at the beginning of a TLS connection without being part of it: which server name the client asks for (RFC 6066
// section 3), so that connections can be handed on undecrypted.
package sni
