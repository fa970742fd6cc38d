package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/switchyard-net/switchyard/internal/endpoints"
	"github.com/switchyard-net/switchyard/internal/endpoints/election"
)

// expiredLeaseTolerance is how long after its lease ran out a leader may still be at work before /healthz fails;
// kube-controller-manager's figure.
const expiredLeaseTolerance = 20 * time.Second

// controllerProcess is the running parts of `switchyard controller`.
type controllerProcess struct {
	controllers *endpoints.Controllers
	elector     *election.Elector // nil: the only process
	registry    *prometheus.Registry
}

// work runs the controllers whenever this process leads, until ctx ends.
func (p *controllerProcess) work(ctx context.Context) error {
	if p.elector == nil {
		return p.controllers.Run(ctx)
	}
	return p.elector.Run(ctx, p.controllers.Run)
}

func (p *controllerProcess) healthy() error {
	if p.elector == nil {
		return nil
	}
	return p.elector.Check(expiredLeaseTolerance)
}

func (p *controllerProcess) ready() error {
	if p.elector != nil && !p.elector.Leading() {
		return nil // standing by is all it should do
	}
	return p.controllers.Ready()
}

func (p *controllerProcess) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/healthz", answer(p.healthy, http.StatusInternalServerError))
	mux.HandleFunc("/readyz", answer(p.ready, http.StatusServiceUnavailable))
	return mux
}

// answer serves "ok", or the check's error with the status for failure.
func answer(check func() error, failure int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := check(); err != nil {
			http.Error(w, err.Error(), failure)
			return
		}
		fmt.Fprint(w, "ok")
	}
}

// serveController serves the process's state on the address until ctx ends.
func serveController(ctx context.Context, address string, process *controllerProcess) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("--metrics-bind-address %s: %w: name a free address, or leave it empty to serve none", address, err)
	}
	server := &http.Server{Handler: process.handler(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics on %s: %w", address, err)
	}
	return nil
}
