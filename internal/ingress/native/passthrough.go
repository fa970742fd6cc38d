package native

import (
	"errors"
	"log/slog"

	"github.com/switchyard-net/switchyard/internal/ingress/http1"
	"github.com/switchyard-net/switchyard/internal/ingress/proxyproto"
	"github.com/switchyard-net/switchyard/internal/ingress/sni"
	"github.com/switchyard-net/switchyard/internal/ingress/stream"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// introduced returns who has connected, and for whom, as far as PROXY protocol says so and is believed. It returns false where the
// header is asked for and is not there: the connection ends without an answer.
func (w *worker) introduced(c *loop.Conn, g *generation) (http1.Peer, bool) {
	peer := http1.Peer{Peer: c.Remote(), Client: c.Remote(), Local: c.Local()}
	real := &g.table.Global.RealIP
	if !real.ProxyProtocol {
		return peer, true
	}
	h, err := proxyproto.Read(c, w.loop.Now().Add(real.ProxyTimeout))
	if err != nil {
		w.engine.deps.Log.Debug("a connection without PROXY protocol", slog.Any("peer", peer.Peer), slog.Any("error", err))
		return peer, false
	}
	if h.Source.IsValid() && stream.Trusted(peer.Peer.Addr(), real.Trusted) {
		peer.Client, peer.Local = h.Source, h.Destination
	}
	return peer, true
}

// passedThrough carries a connection to the backend of its host, if TLS ends there, and returns true once that is done. The
// connections of other hosts are left as they were.
func (w *worker) passedThrough(t *loop.Task, c *loop.Conn, g *generation, peer http1.Peer) bool {
	if !w.engine.config.Passthrough {
		return false
	}
	name, err := sni.Peek(c, w.loop.Now().Add(g.http1.Header))
	switch {
	case errors.Is(err, sni.ErrMalformed): // crypto/tls says what is wrong
		return false
	case err != nil:
		return true
	}
	backend := g.table.Host(name).Passthrough
	if name == "" || backend == nil {
		return false
	}
	w.carried++
	defer func() { w.carried-- }()
	result := w.carrier.Carry(t, &stream.Session{
		Conn: c, Backend: backend, Pool: g.table.Pool(backend), Settings: &g.table.Global.Stream, Client: peer.Client, Local: peer.Local,
	})
	if result.Err != nil {
		w.engine.deps.Log.Debug("a TLS connection was cut", slog.String("host", name), slog.Any("error", result.Err))
	}
	return true
}
