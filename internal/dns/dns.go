// Package dns assembles the cluster DNS of a process: snapshots become a name table (package zone), a table answers in the chains
// of CoreDNS (package plugin) and before them (packages server and fastpath).
package dns

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"github.com/switchyard-net/switchyard/internal/dns/plugin"
	"github.com/switchyard-net/switchyard/internal/dns/server"
	"github.com/switchyard-net/switchyard/internal/dns/zone"
	"github.com/switchyard-net/switchyard/internal/model"
)

// ErrNotSynced is what Ready returns until there was a first complete snapshot.
var ErrNotSynced = errors.New("dns: the API server was not read yet")

// Deps are what a DNS works with.
type Deps struct {
	// Snapshots have Services, EndpointSlices with the headless ones, and Namespaces.
	Snapshots zone.Snapshots
	// Keeps says what else the snapshots have.
	Keeps plugin.Keeps
	// Selector parses a label selector; source.ParseSelector does.
	Selector func(string) (func(model.Labels) bool, error)
	// PodAt returns the pod that has an address; nil: nothing is known of pods.
	PodAt func(netip.Addr) (plugin.Pod, bool)
	// Search is the search list of the machine, fully qualified.
	Search []string
	// Tried is server.Deps.Tried.
	Tried func(error)
	Log   *slog.Logger
}

// DNS is the cluster DNS of a process.
type DNS struct {
	live   *zone.Live
	server *server.Server
	deps   Deps
}

// New returns a DNS that does nothing until Run.
func New(config server.Config, deps Deps) (*DNS, error) {
	d := &DNS{deps: deps, live: zone.NewLive(zone.Config{PodNames: deps.Keeps.PodNames, Programmed: server.ObserveProgramming})}
	var err error
	d.server, err = server.New(config, server.Deps{Log: deps.Log, Tried: deps.Tried, Plugin: plugin.Deps{
		Live: d.live, Log: deps.Log, Keeps: deps.Keeps, Selector: deps.Selector, PodAt: deps.PodAt, Search: deps.Search,
	}})
	return d, err
}

// Run serves until ctx is done. The error is that of the first Corefile.
func (d *DNS) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.live.Run(ctx, d.deps.Snapshots) })
	group.Go(func() error { return d.server.Run(ctx) })
	return group.Wait()
}

// Server returns the server, for its state.
func (d *DNS) Server() *server.Server { return d.server }

// Ready returns nil once there was a complete snapshot: from then on there is something to answer with, whether the API server is
// there or not.
func (d *DNS) Ready() error {
	if !d.live.Table().Synced() {
		return ErrNotSynced
	}
	return nil
}
