// Package proxyproto is the PROXY protocol (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt): what a load balancer says
// about a client before the client's own bytes. Versions 1 and 2 are read, version 1 is written.
//
// It is as strict as the specification: a header that is not exactly one is an error, as whoever follows would take its bytes for
// the client's.
package proxyproto
