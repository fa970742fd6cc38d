package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/ingress"
	"github.com/switchyard-net/switchyard/internal/ingress/show"
)

// ingressProcess shows the state of a running `switchyard ingress`.
type ingressProcess struct {
	config   *config.Ingress
	entry    *ingress.Entry
	registry *prometheus.Registry
	log      *slog.Logger
}

// serve serves the health port and the admin socket until ctx is done.
func (p *ingressProcess) serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if p.config.Health.Port != 0 {
		group.Go(func() error {
			address := net.JoinHostPort(p.config.Health.Host, strconv.Itoa(p.config.Health.Port))
			listener, err := listen(ctx, "tcp", address)
			if err != nil {
				return fmt.Errorf("--healthz-port %s: %w: choose a free one, or 0 for none", address, err)
			}
			return serveUntil(ctx, listener, p.healthHandler())
		})
	}
	group.Go(func() error { return p.serveSocket(ctx) })
	return group.Wait()
}

// serveSocket serves the admin socket. The entry does its work without one too.
func (p *ingressProcess) serveSocket(ctx context.Context) error {
	path := p.config.Health.Socket
	if path == "" {
		return nil
	}
	_ = os.Remove(path) // of a process that was killed
	listener, err := listen(ctx, "unix", path)
	if err != nil {
		p.log.Warn("there is no admin socket, so that 'switchyard ingress routes' cannot ask this process", "error", err)
		return nil
	}
	if err := os.Chmod(path, 0o600); err != nil {
		p.log.Warn("the admin socket may be open to others", "error", err)
	}
	return serveUntil(ctx, listener, p.adminHandler())
}

func listen(ctx context.Context, network, address string) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, network, address)
}

func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return nil
}

func (p *ingressProcess) healthHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{}))
	// The manifests of ingress-nginx take /healthz for readiness.
	mux.HandleFunc("/healthz", answer(p.entry.Ready, http.StatusServiceUnavailable))
	mux.HandleFunc("/readyz", answer(p.entry.Ready, http.StatusServiceUnavailable))
	mux.HandleFunc("/livez", answer(func() error { return nil }, http.StatusInternalServerError))
	if p.config.Health.Profiling {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// adminHandler answers `switchyard ingress routes`.
func (p *ingressProcess) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /routes", func(w http.ResponseWriter, r *http.Request) {
		p.show(w, func(f *ingress.Force) (any, error) {
			return show.List(f.Table, f.Problems, f.Since, r.URL.Query().Get("host")), nil
		})
	})
	mux.HandleFunc("GET /explain", func(w http.ResponseWriter, r *http.Request) {
		p.show(w, func(f *ingress.Force) (any, error) {
			return show.Explain(f.Table, f.Problems, r.URL.Query().Get("url"))
		})
	})
	return mux
}

// show answers with what of makes of the table in force.
func (p *ingressProcess) show(w http.ResponseWriter, of func(*ingress.Force) (any, error)) {
	force := p.entry.InForce()
	if force == nil {
		http.Error(w, p.entry.Ready().Error(), http.StatusServiceUnavailable)
		return
	}
	what, err := of(force)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(what)
}
