package source

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// wire is the network between a client and an apiServer, in memory, so that it works on the clock of testing/synctest.
type wire struct {
	accept chan net.Conn
	closed chan struct{}
	mu     sync.Mutex
	down   bool // nobody listens
	mute   bool // nothing passes, and nobody notices
	conns  map[*wireConn]struct{}
}

var errRefused = errors.New("connection refused")

func newWire() *wire {
	return &wire{accept: make(chan net.Conn), closed: make(chan struct{}), conns: map[*wireConn]struct{}{}}
}

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	w.mu.Lock()
	down, mute := w.down, w.mute
	w.mu.Unlock()
	if mute {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if down {
		return nil, errRefused
	}
	near, far := net.Pipe()
	select {
	case w.accept <- far:
	case <-w.closed:
		return nil, errRefused
	}
	c := &wireConn{Conn: near, wire: w, gone: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c] = struct{}{}
	return c, nil
}

// set takes the network down, or makes it swallow everything; both cut what is open in their own way.
func (w *wire) set(down, mute bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down, w.mute = down, mute
	for c := range w.conns {
		switch {
		case down:
			c.cut()
		case mute:
			c.silence()
		}
	}
}

// cut closes all connections.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.cut()
	}
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.accept:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error {
	select {
	case <-w.closed:
	default:
		close(w.closed)
	}
	return nil
}

func (w *wire) Addr() net.Addr { return &net.UnixAddr{Name: "wire"} }

// wireConn is the client's end of a connection.
type wireConn struct {
	net.Conn
	wire *wire
	mu   sync.Mutex
	mute bool
	gone chan struct{}
	once sync.Once
}

func (c *wireConn) cut() { _ = c.Conn.Close() }

// silence makes the connection hang: its peer is gone, and nobody says so.
func (c *wireConn) silence() {
	c.mu.Lock()
	c.mute = true
	c.mu.Unlock()
	_ = c.Conn.Close()
}

func (c *wireConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	mute := c.mute
	c.mu.Unlock()
	if err != nil && mute {
		<-c.gone
		return 0, os.ErrClosed
	}
	return n, err
}

func (c *wireConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.mu.Lock()
	mute := c.mute
	c.mu.Unlock()
	if mute {
		return len(p), nil
	}
	return n, err
}

func (c *wireConn) Close() error {
	c.once.Do(func() { close(c.gone) })
	c.wire.mu.Lock()
	delete(c.wire.conns, c)
	c.wire.mu.Unlock()
	return c.Conn.Close()
}

// serve runs an apiServer on a wire for the duration of the test, and returns both with a client.
func serve(t *testing.T, contentType string) (*apiServer, *wire, kubernetes.Interface) {
	t.Helper()
	api, w := newAPIServer(), newWire()
	server := &http.Server{Handler: api, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(w) }()
	transport := &http.Transport{DialContext: w.dial}
	client, err := kubernetes.NewForConfigAndClient(&rest.Config{
		Host: "http://api.test", QPS: -1,
		ContentConfig: rest.ContentConfig{ContentType: contentType, AcceptContentTypes: contentType},
	}, &http.Client{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.cut()
		_ = server.Close()
		transport.CloseIdleConnections()
		<-done
	})
	return api, w, client
}
