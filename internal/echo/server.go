// Package echo is the example server of the documentation, the demo and the tests, which says who answered whom.
//
// It answers HTTP, TCP and UDP with the pod's name, node and address and with the address that the request came from,
// which is what a person trying a Service wants to know. It can be told to be unready, and on the way out it behaves as
// a server behind a Service should: unready first, still serving until the rules of every node have followed.
package echo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Config says where to listen and how to stop. An empty address switches that protocol off.
type Config struct {
	HTTP string // host:port
	TCP  string // host:port
	UDP  string // host:port
	// Drain is how long Run goes on serving, unready, after its context ends: at least the time that the last node
	// needs to learn that the pod is leaving.
	Drain    time.Duration
	Identity Identity
}

// Identity is what the server says of itself in every answer.
type Identity struct {
	Pod  string `json:"pod"`
	Node string `json:"node,omitempty"`
	IP   string `json:"ip,omitempty"`
}

// shutdownTimeout bounds the wait for requests still being answered once the drain time is over.
const shutdownTimeout = 5 * time.Second

// Server is one echo server. Make it with New; the zero value is of no use.
type Server struct {
	config   Config
	log      *slog.Logger
	unready  atomic.Bool // set by a client of /ready
	draining atomic.Bool // set once, when Run's context ends

	mu    sync.Mutex
	addrs map[string]net.Addr // by protocol; guarded by mu
}

// New returns a server that listens nowhere until Run.
func New(config Config, log *slog.Logger) *Server {
	return &Server{config: config, log: log, addrs: map[string]net.Addr{}}
}

// Run listens and serves until ctx ends, then drains and returns nil. It returns an error if an address cannot be
// listened on, or if serving ends by itself.
func (s *Server) Run(ctx context.Context) error {
	listeners, err := s.listen(ctx)
	if err != nil {
		return err
	}
	defer listeners.close()
	failed := make(chan error, 3)
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // gRPC
	if listeners.http != nil {
		go func() { failed <- server.Serve(listeners.http) }()
	}
	if listeners.tcp != nil {
		go func() { failed <- s.serveTCP(listeners.tcp) }()
	}
	if listeners.udp != nil {
		go func() { failed <- s.serveUDP(listeners.udp) }()
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.log.Info("draining", "for", s.config.Drain)
	time.Sleep(s.config.Drain)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	return server.Shutdown(stopping)
}

// Ready reports whether the server wants new requests.
func (s *Server) Ready() bool { return !s.unready.Load() && !s.draining.Load() }

// Addr returns the address that Run listens on for "http", "tcp" or "udp", or nil before it does.
func (s *Server) Addr(protocol string) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addrs[protocol]
}

// listeners are the open sockets of a run, nil where a protocol is off.
type listeners struct {
	http, tcp net.Listener
	udp       net.PacketConn
}

func (s *Server) listen(ctx context.Context) (_ *listeners, err error) {
	l := &listeners{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	var config net.ListenConfig
	if s.config.HTTP != "" {
		if l.http, err = config.Listen(ctx, "tcp", s.config.HTTP); err != nil {
			return nil, fmt.Errorf("listen for HTTP on %q: %w", s.config.HTTP, err)
		}
		s.listening("http", l.http.Addr())
	}
	if s.config.TCP != "" {
		if l.tcp, err = config.Listen(ctx, "tcp", s.config.TCP); err != nil {
			return nil, fmt.Errorf("listen for TCP on %q: %w", s.config.TCP, err)
		}
		s.listening("tcp", l.tcp.Addr())
	}
	if s.config.UDP != "" {
		if l.udp, err = config.ListenPacket(ctx, "udp", s.config.UDP); err != nil {
			return nil, fmt.Errorf("listen for UDP on %q: %w", s.config.UDP, err)
		}
		s.listening("udp", l.udp.LocalAddr())
	}
	if l.http == nil && l.tcp == nil && l.udp == nil {
		return nil, errors.New("nothing to listen on: give at least one of --http, --tcp and --udp")
	}
	return l, nil
}

func (s *Server) listening(protocol string, addr net.Addr) {
	s.mu.Lock()
	s.addrs[protocol] = addr
	s.mu.Unlock()
	s.log.Info("listening", "protocol", protocol, "address", addr)
}

func (l *listeners) close() {
	if l.http != nil {
		l.http.Close()
	}
	if l.tcp != nil {
		l.tcp.Close()
	}
	if l.udp != nil {
		l.udp.Close()
	}
}
