// Package sctp makes associations of the Stream Control Transmission Protocol (RFC 9260) in network namespaces, for tests.
//
// Where the kernel has SCTP sockets, it uses them, in the one-to-one style, which behaves like TCP (RFC 6458, section 4).
// Elsewhere it speaks the protocol itself over raw sockets: one stream, one path, no window, enough for short lines over
// a network that loses nothing. Firewalls, connection tracking and address translation, which is what tests with SCTP
// are about, need no SCTP sockets and see no difference.
package sctp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// Host is what accepts associations in a namespace. It is safe for concurrent use.
type Host struct {
	ns  *lab.Namespace
	raw *rawHost // nil: the kernel has SCTP sockets
}

// Open returns the host of a namespace, of which there may be only one. Ports without a listener refuse.
func Open(ns *lab.Namespace) (*Host, error) {
	h := &Host{ns: ns}
	if Kernel() {
		return h, nil
	}
	err := ns.Do(func() (err error) {
		h.raw, err = openRaw()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open raw SCTP sockets in %s: %w", ns.Name(), err)
	}
	return h, nil
}

// Listen accepts associations at a port, at all addresses of the namespace. Addresses of associations are *net.TCPAddr,
// as package net has no others that have ports and are of streams.
func (h *Host) Listen(port uint16) (listener net.Listener, err error) {
	if h.raw != nil {
		return h.raw.listen(port)
	}
	err = h.ns.Do(func() error {
		listener, err = listenKernel(port)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on SCTP port %d of %s: %w", port, h.ns.Name(), err)
	}
	return listener, nil
}

// Close ends the associations and listeners that are not the kernel's own.
func (h *Host) Close() error {
	if h.raw == nil {
		return nil
	}
	return h.raw.Close()
}

// Dial connects in a namespace from a source address and port. What refuses gives ECONNREFUSED, the end of ctx a timeout.
func Dial(ctx context.Context, ns *lab.Namespace, from, to netip.AddrPort) (conn net.Conn, err error) {
	dial := dialRaw
	if Kernel() {
		dial = dialKernel
	}
	err = ns.Do(func() error {
		conn, err = dial(ctx, from, to)
		return err
	})
	return conn, err
}

// Kernel reports whether the kernel has SCTP sockets. A socket of the kernel answers from addresses of its host only, and
// from the one that the way back prefers: a host that is to answer for others has to be redirected to itself.
func Kernel() bool {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, syscall.IPPROTO_SCTP)
	if err != nil {
		return false
	}
	return syscall.Close(fd) == nil
}
