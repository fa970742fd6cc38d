package sctp

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// association is an association over raw sockets that has been set up. It implements net.Conn.
type association struct {
	local, remote netip.AddrPort
	send          func(packet []byte) error
	released      func() // called once, by Close

	mu            sync.Mutex
	changed       sync.Cond
	own, tag      uint32    // of the packets from and to the peer
	next          uint32    // TSN of the next DATA; guarded by mu
	sequence      uint16    // of the next DATA; guarded by mu
	received      uint32    // TSN of the last DATA received in order; guarded by mu
	buffer        []byte    // received and not yet read; guarded by mu
	over          error     // why no more comes; guarded by mu
	readDeadline  time.Time // guarded by mu
	writeDeadline time.Time // guarded by mu
}

// newAssociation returns an association between two parties that know each other's tags and first TSNs.
func newAssociation(local, remote netip.AddrPort, own, peer initiation, send func([]byte) error) *association {
	a := &association{local: local, remote: remote, send: send, released: func() {}, own: own.tag, tag: peer.tag, next: own.tsn, received: peer.tsn - 1}
	a.changed.L = &a.mu
	return a
}

func (a *association) header() header {
	return header{from: a.local.Port(), to: a.remote.Port(), tag: a.tag}
}

// receive takes a chunk that the peer sent. An answer that cannot be sent is like one that was lost.
func (a *association) receive(c chunk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch c.kind {
	case typeData:
		if len(c.value) < dataHeader {
			return
		}
		if tsn := binary.BigEndian.Uint32(c.value); tsn == a.received+1 {
			a.received = tsn
			a.buffer = append(a.buffer, c.value[dataHeader:]...)
			a.changed.Broadcast()
		}
		_ = a.send(encode(a.header(), sack(a.received)))
	case typeHeartbeat:
		_ = a.send(encode(a.header(), chunk{kind: typeHeartbeatAck, value: c.value}))
	case typeShutdown:
		_ = a.send(encode(a.header(), chunk{kind: typeShutdownAck}))
		a.end(io.EOF)
	case typeShutdownComplete, typeAbort:
		a.end(io.EOF)
	}
}

// end makes reads end once the buffer is empty. It is called with mu held.
func (a *association) end(err error) {
	if a.over == nil {
		a.over = err
	}
	a.changed.Broadcast()
}

// Read implements net.Conn.
func (a *association) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.buffer) == 0 {
		if a.over != nil {
			return 0, a.over
		}
		if passed(a.readDeadline) {
			return 0, os.ErrDeadlineExceeded
		}
		a.changed.Wait()
	}
	n := copy(p, a.buffer)
	a.buffer = a.buffer[n:]
	return n, nil
}

// Write implements net.Conn: one message, which has to fit into a packet.
func (a *association) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over != nil {
		return 0, a.over
	}
	if passed(a.writeDeadline) {
		return 0, os.ErrDeadlineExceeded
	}
	if err := a.send(encode(a.header(), data(a.next, a.sequence, p))); err != nil {
		return 0, err
	}
	a.next++
	a.sequence++
	return len(p), nil
}

// Close implements net.Conn, by an ABORT, which needs no answer.
func (a *association) Close() error {
	a.mu.Lock()
	closed := errors.Is(a.over, net.ErrClosed)
	if a.over == nil {
		_ = a.send(encode(a.header(), chunk{kind: typeAbort}))
	}
	a.over = net.ErrClosed
	a.changed.Broadcast()
	a.mu.Unlock()
	if !closed {
		a.released()
	}
	return nil
}

// LocalAddr implements net.Conn.
func (a *association) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(a.local) }

// RemoteAddr implements net.Conn.
func (a *association) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(a.remote) }

// SetDeadline implements net.Conn.
func (a *association) SetDeadline(t time.Time) error {
	_ = a.SetWriteDeadline(t)
	return a.SetReadDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (a *association) SetReadDeadline(t time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.readDeadline = t
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.changed.Broadcast()
		})
	}
	a.changed.Broadcast()
	return nil
}

// SetWriteDeadline implements net.Conn.
func (a *association) SetWriteDeadline(t time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writeDeadline = t
	return nil
}

func passed(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }
