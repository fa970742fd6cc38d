package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// dialPatience is how long a client of the relay waits for the API server to take the connection.
const dialPatience = 5 * time.Second

// relay passes connections made on the host's loopback on to the API server in its namespace, as bytes: TLS and its
// checks stay between the two ends.
type relay struct {
	listener  net.Listener
	namespace *lab.Namespace
	target    netip.AddrPort
	log       *slog.Logger
}

// run accepts connections until the context ends.
func (r *relay) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { r.listener.Close() })
	defer stop()
	for {
		conn, err := r.listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			r.log.Warn("accept a connection to the API server", "error", err)
			time.Sleep(100 * time.Millisecond) // such as no file descriptors left: let some go first
			continue
		}
		go r.serve(ctx, conn)
	}
}

// serve passes one connection on.
func (r *relay) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	dialing, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	server, err := r.namespace.Dial(dialing, "tcp", r.target)
	if err != nil {
		r.log.Debug("connect to the API server", "error", err)
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { copyOneWay(server, client) })
	both.Go(func() { copyOneWay(client, server) })
	both.Wait()
}

// copyOneWay copies until the end of from and passes that end on.
func copyOneWay(to, from net.Conn) {
	// An error ends the connection as its end does: there is nobody to tell.
	_, _ = io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}
