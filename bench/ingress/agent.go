package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/native"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

// cluster is the objects that the engine's table is made of: each Ingress has a host, a Service and an EndpointSlice of its own.
type cluster struct {
	snapshot model.Snapshot
	builder  *route.Builder
	engine   *native.Engine
	behind   netip.AddrPort
	mu       sync.Mutex // changes come one at a time
}

// agent runs the native engine until the context ends.
func agent(ctx context.Context, o options) error {
	addrs := make([]netip.AddrPort, 3)
	for i, text := range []string{o.http, o.https, o.behind} {
		var err error
		if addrs[i], err = netip.ParseAddrPort(text); err != nil {
			return err
		}
	}
	if o.profile != "" {
		file, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	engine, err := native.New(native.Config{HTTP: addrs[:1], HTTPS: addrs[1:2], Drain: time.Second},
		native.Deps{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	c := &cluster{engine: engine, builder: route.New(route.Config{ConfigMap: configMap()}), behind: addrs[2]}
	c.fill(o.ingresses)
	if err := c.apply(ctx, model.Changes{All: true}); err != nil {
		return err
	}
	server := &http.Server{Addr: o.ask, Handler: c}
	go func() { _ = server.ListenAndServe() }()
	defer server.Close()
	return engine.Run(ctx)
}
