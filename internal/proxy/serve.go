package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// bindRetryPeriod is how long to wait before an address that is in use is tried again; kube-proxy's too.
const bindRetryPeriod = 5 * time.Second

// Server serves one handler on one address.
type Server struct {
	// Name says what it is, for the log.
	Name string
	// Address is an IP address and port; empty: Run only waits.
	Address string
	Handler http.Handler
	// FailOnBind makes Run fail where the address cannot be had, instead of trying again.
	FailOnBind bool
	Log        *slog.Logger
}

// Run serves until ctx is done.
func (s Server) Run(ctx context.Context) error {
	if s.Address == "" {
		<-ctx.Done()
		return nil
	}
	listener, err := s.listen(ctx)
	if listener == nil {
		return err
	}
	server := &http.Server{Handler: s.Handler, ReadHeaderTimeout: requestPatience}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	s.Log.Info("serving "+s.Name, "address", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s on %s: %w", s.Name, s.Address, err)
	}
	return nil
}

// listen returns the listener; nil without an error: ctx is done.
func (s Server) listen(ctx context.Context) (net.Listener, error) {
	for {
		var config net.ListenConfig
		listener, err := config.Listen(ctx, "tcp", s.Address)
		if err == nil {
			return listener, nil
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		err = fmt.Errorf("serve %s: %w; free the address, or choose another one", s.Name, err)
		if s.FailOnBind {
			return nil, err
		}
		s.Log.Error("trying again in "+bindRetryPeriod.String(), "error", err)
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(bindRetryPeriod):
		}
	}
}
