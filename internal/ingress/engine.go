package ingress

import (
	"context"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Engine carries requests as a table says.
type Engine interface {
	// Apply puts a table in force, as a whole or not at all: it is in force when Apply returns nil. Problems are what of the
	// table this engine cannot do; they are complete, not only what is new. After an error the table before stays in force.
	//
	// Calls come one at a time, the first of them before Run.
	Apply(ctx context.Context, t *route.Table) ([]route.Problem, error)
	// Run listens and serves until ctx is done. Then it lets the requests that are under way end, for as long as it was told, and
	// returns nil.
	Run(ctx context.Context) error
	// Ready returns nil while new connections are accepted and a table is in force.
	Ready() error
}

// Routes makes tables of snapshots. It is used by one goroutine.
type Routes interface {
	// References and ConfigMaps return the Secrets and the ConfigMaps that an Ingress names, each once, as far as the settings of
	// the table made last let it.
	References(*model.Ingress) []model.Ref
	ConfigMaps(*model.Ingress) []model.Ref
	// Update returns the table of a snapshot that differs in changes from the one before, with all that is wrong in it.
	Update(*model.Snapshot, model.Changes) (*route.Table, []route.Problem)
}
