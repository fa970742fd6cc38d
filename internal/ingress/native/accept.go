package native

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/ingress/http1"
	"github.com/switchyard-net/switchyard/internal/ingress/http2"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// listen accepts connections at an address.
func (w *worker) listen(addr netip.AddrPort, secure bool, connections int) (netip.AddrPort, error) {
	serve := w.plain
	if secure {
		serve = w.secure
	}
	l, err := w.loop.Listen(addr, loop.ListenConfig{
		Connections: connections,
		Refused:     func(err error) { w.engine.deps.Log.Warn("a connection was refused", "error", err) },
	}, serve)
	if err != nil {
		return netip.AddrPort{}, err
	}
	w.listeners = append(w.listeners, l)
	return l.Addr(), nil
}

// plain serves a connection without TLS.
func (w *worker) plain(t *loop.Task, c *loop.Conn) {
	g := w.engine.current.Load()
	if g == nil {
		return
	}
	w.totals.accepted++
	peer, ok := w.introduced(c, g)
	if ok && w.http1(t, c, c, g, peer) {
		w.http2(t, c, c, g, peer)
	}
}

// secure serves a connection with TLS.
func (w *worker) secure(t *loop.Task, c *loop.Conn) {
	g := w.engine.current.Load()
	if g == nil {
		return
	}
	w.totals.accepted++
	peer, ok := w.introduced(c, g)
	if !ok || w.passedThrough(t, c, g, peer) {
		return
	}
	c.Queue()
	_ = c.SetDeadline(w.loop.Now().Add(g.http1.Header))
	conn := tls.Server(c, g.tls)
	if conn.Handshake() != nil || c.Flush() != nil {
		w.totals.handshakes++
		return // the alert that says why is in the queue
	}
	_ = c.SetDeadline(noTime)
	state := conn.ConnectionState()
	peer.TLS = w.engine.settled(&state)
	if state.NegotiatedProtocol == "h2" {
		w.http2(t, c, conn, g, peer)
		return
	}
	w.http1(t, c, conn, g, peer)
}

// http1 serves HTTP/1. It returns true where the client speaks HTTP/2 instead, without having asked.
func (w *worker) http1(t *loop.Task, c *loop.Conn, nc net.Conn, g *generation, peer http1.Peer) bool {
	s := http1.Server{Limits: g.http1, Buffers: &w.buffers, Serve: w.serve, Preface: g.table.Global.Client.HTTP2 && peer.TLS == nil, Refused: w.refused}
	conn := s.NewConn(t, c, nc, peer)
	defer w.track(conn)()
	return errors.Is(conn.Serve(), http1.ErrPreface)
}

func (w *worker) http2(t *loop.Task, c *loop.Conn, nc net.Conn, g *generation, peer http1.Peer) {
	c.Queue()
	s := http2.Server{Limits: g.http2, Serve: func(t *loop.Task, s message.Stream) { w.serve(t, s) }}
	conn := s.NewConn(t, c, nc, http2.Peer(peer))
	defer w.track(conn)()
	_ = conn.Serve()
}

// refused counts a request that could not be understood.
func (w *worker) refused(_ http1.Peer, err http1.Error) { w.totals.refused[err.Status]++ }

// track keeps a connection for drain until the function that it returns is called.
func (w *worker) track(c drainer) func() {
	w.conns[c] = struct{}{}
	if w.draining {
		c.Drain()
	}
	return func() { delete(w.conns, c) }
}
