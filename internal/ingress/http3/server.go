package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	quichttp3 "github.com/quic-go/quic-go/http3"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// Limits bound what a client may ask of a connection. Zero fields take the default.
type Limits struct {
	// Connections is how many there may be at the same time. Default 16384.
	Connections int
	// Streams is how many requests may be open at the same time. Default 128.
	Streams int
	// HeaderBytes is the size of a field section. Default 32 KiB.
	HeaderBytes int
	// Idle is how long a connection without requests is kept. Default 75 s.
	Idle time.Duration
	// Handshake bounds the time until the first request can be sent. Default 10 s.
	Handshake time.Duration
	// Read is the longest silence of a body, Send the longest time without room for more of a response. Defaults 60 s.
	Read, Send time.Duration
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Connections, 16384)
	setDefault(&l.Streams, 128)
	setDefault(&l.HeaderBytes, 32<<10)
	setDefault(&l.Idle, 75*time.Second)
	setDefault(&l.Handshake, 10*time.Second)
	setDefault(&l.Read, 60*time.Second)
	setDefault(&l.Send, 60*time.Second)
	return l
}

func setDefault[T int | time.Duration](p *T, value T) {
	if *p <= 0 {
		*p = value
	}
}

const (
	// streamWindow and connWindow are how many bytes of bodies are taken before they are passed on.
	streamWindow, connWindow = 256 << 10, 1 << 20
	// retryFrom is from how many handshakes under way on clients have to show that they receive what is sent to their address
	// (RFC 9000 8.1.2), so that others cannot have us work, or answer, in their name.
	retryFrom = 64
)

// Config is what a Server needs.
type Config struct {
	Limits Limits
	// TLS returns how clients are spoken to now. Versions before 1.3 and protocols do not count.
	TLS func() *tls.Config
	// Settled returns what requests are told of a handshake.
	Settled func(*tls.ConnectionState) *message.TLS
	// Loops run Serve, in turn, each call in a task of its own. Ended is closed when they have ended.
	Loops []*loop.Loop
	Serve func(*loop.Task, message.Stream)
	Ended <-chan struct{}
}

// Server serves clients.
type Server struct {
	config    Config
	limits    Limits
	server    *quichttp3.Server
	next      atomic.Uint32 // loop
	accepting context.Context
	stop      context.CancelFunc

	handshakes, connections atomic.Int64 // handshakes that are under way
}

// New returns a server that does not listen yet.
func New(config Config) *Server {
	s := &Server{config: config, limits: config.Limits.withDefaults()}
	s.accepting, s.stop = context.WithCancel(context.Background())
	s.server = &quichttp3.Server{
		Handler: http.HandlerFunc(s.serve), MaxHeaderBytes: s.limits.HeaderBytes, IdleTimeout: s.limits.Idle,
		TLSConfig: quichttp3.ConfigureTLSConfig(&tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: s.tls}),
		QUICConfig: &quic.Config{
			HandshakeIdleTimeout: s.limits.Handshake, MaxIdleTimeout: s.limits.Idle, Allow0RTT: false,
			MaxIncomingStreams: int64(s.limits.Streams), MaxIncomingUniStreams: 8,
			MaxStreamReceiveWindow: streamWindow, MaxConnectionReceiveWindow: connWindow,
		},
		Logger: slog.New(slog.DiscardHandler),
	}
	return s
}

// tls returns the configuration for a client.
func (s *Server) tls(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	config := s.config.TLS()
	if config.GetConfigForClient != nil {
		own, err := config.GetConfigForClient(hello)
		if err != nil {
			return nil, err
		}
		if own != nil {
			config = own
		}
	}
	config = config.Clone()
	config.MinVersion, config.MaxVersion = tls.VersionTLS13, 0
	config.NextProtos = []string{quichttp3.NextProtoH3}
	return config, nil
}

// attempt is a connection from its first packet on.
type attempt struct {
	server  *Server
	settled atomic.Bool // the handshake is over
}

type attemptKey struct{}

// connected accounts for a new connection, and for its end.
func (s *Server) connected(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	if s.connections.Add(1) > int64(s.limits.Connections) {
		s.connections.Add(-1)
		return nil, errTooMany
	}
	a := &attempt{server: s}
	s.handshakes.Add(1)
	context.AfterFunc(ctx, func() {
		a.settle()
		s.connections.Add(-1)
	})
	return context.WithValue(ctx, attemptKey{}, a), nil
}

var errTooMany = errors.New("too many connections")

// settle notes that the handshake has succeeded, or failed.
func (a *attempt) settle() {
	if a.settled.CompareAndSwap(false, true) {
		a.server.handshakes.Add(-1)
	}
}

// Serve serves the clients that a socket hears of, until Shutdown has ended.
func (s *Server) Serve(socket net.PacketConn) error {
	transport := &quic.Transport{
		Conn: socket, ConnContext: s.connected,
		VerifySourceAddress: func(net.Addr) bool { return s.handshakes.Load() >= retryFrom },
	}
	defer transport.Close()
	listener, err := transport.Listen(s.server.TLSConfig, s.server.QUICConfig)
	if err != nil {
		return fmt.Errorf("listen for QUIC on %s: %w", socket.LocalAddr(), err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	for {
		c, err := listener.Accept(s.accepting)
		switch {
		case s.accepting.Err() != nil:
			return errors.Join(listener.Close())
		case err != nil:
			return fmt.Errorf("accept connections of QUIC on %s: %w", socket.LocalAddr(), err)
		}
		if a, ok := c.Context().Value(attemptKey{}).(*attempt); ok {
			a.settle()
		}
		running.Go(func() { _ = s.server.ServeQUICConn(c) })
	}
}

// Shutdown ends accepting, and the connections once their requests are done, or the context is.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// serve carries one request to a loop, and waits until it is done.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	x := &exchange{w: w, r: r, control: http.NewResponseController(w), limits: &s.limits}
	if status := x.begin(s); status != 0 {
		w.WriteHeader(status)
		return
	}
	l := s.config.Loops[s.next.Add(1)%uint32(len(s.config.Loops))]
	x.loop = l
	done := make(chan struct{})
	l.Post(func() {
		l.Go(func(t *loop.Task) {
			defer close(done)
			s.config.Serve(t, x)
		})
	})
	select {
	case <-done:
	case <-s.config.Ended:
	}
	if x.aborted || !x.ended {
		panic(http.ErrAbortHandler) // the client sees a reset
	}
}
