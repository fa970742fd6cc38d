package native

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/http3"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// altSvcAge is for how many seconds clients may go on with HTTP/3 without asking again (RFC 7838 3.1).
const altSvcAge = 86400

// http3Server serves HTTP/3 at the ports of HTTPS.
type http3Server struct {
	server  *http3.Server
	sockets []net.PacketConn
	altSvc  []byte
}

var altSvcName = []byte("Alt-Svc")

// listen3 opens the ports of HTTP/3, if it is asked for. Those of HTTPS are known by now.
func (e *Engine) listen3() error {
	if !e.config.HTTP3 {
		return nil
	}
	g := e.current.Load()
	if g == nil {
		return errors.New("HTTP/3 needs a table before the engine runs")
	}
	h := &http3Server{}
	config := http3.Config{
		Limits: http3.Limits{
			Connections: e.config.Connections, Streams: g.http2.Streams, HeaderBytes: g.http2.HeaderList, Idle: g.http2.Idle,
			Read: g.http2.Read, Send: g.http2.Send,
		},
		TLS:     func() *tls.Config { return e.current.Load().tls },
		Settled: func(s *tls.ConnectionState) *message.TLS { return e.settled(s) },
		Serve:   e.serve3, Ended: e.ended,
	}
	for _, w := range e.workers {
		config.Loops = append(config.Loops, w.loop)
	}
	h.server = http3.New(config)
	_, secure := e.Addresses()
	for _, addr := range secure {
		socket, err := net.ListenPacket("udp", addr.String())
		if err != nil {
			h.close()
			return fmt.Errorf("open the port of HTTP/3: %w", err)
		}
		h.sockets = append(h.sockets, socket)
	}
	e.http3 = h
	h.altSvc = []byte(`h3=":` + strconv.Itoa(int(e.publicHTTPS(secure[0].Port()))) + `"; ma=` + strconv.Itoa(altSvcAge))
	for _, socket := range h.sockets {
		go func() {
			if err := h.server.Serve(socket); err != nil {
				e.deps.Log.Error("HTTP/3 is not served any more", slog.Any("error", err))
			}
		}()
	}
	return nil
}

// publicHTTPS returns the port that clients know HTTPS by.
func (e *Engine) publicHTTPS(port uint16) uint16 {
	if e.config.Public.HTTPS != 0 {
		return e.config.Public.HTTPS
	}
	return port
}

// serve3 serves a request on its loop.
func (e *Engine) serve3(t *loop.Task, s message.Stream) {
	for _, w := range e.workers {
		if w.loop == t.Loop() {
			w.serve(t, s)
		}
	}
}

// shutdown lets requests end until a time. The channel is closed when they have.
func (h *http3Server) shutdown(until time.Time) <-chan struct{} {
	done := make(chan struct{})
	if h == nil {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		ctx, cancel := context.WithDeadline(context.Background(), until)
		defer cancel()
		_ = h.server.Shutdown(ctx)
	}()
	return done
}

// close closes the ports.
func (h *http3Server) close() {
	if h == nil {
		return
	}
	for _, s := range h.sockets {
		_ = s.Close()
	}
}
