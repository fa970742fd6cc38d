package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/kernel/leftovers"
)

// removeOthers removes, now that the rules of this mode are in force, those of our other modes, and those of kube-proxy of
// any mode: packets would go by theirs or by ours, whichever come first. Connections that are established keep what
// conntrack has noted of them.
func (n *Node) removeOthers(ctx context.Context) {
	for _, err := range unjoin(cleanUp(ctx, n.mode.kind, n.deps.Log)) {
		n.deps.Log.Warn("some rules of another mode may be left; `switchyard cleanup` removes them", "error", err)
	}
	removed, err := leftovers.Remove(ctx, leftovers.KubeProxyTable)
	for _, what := range removed {
		n.deps.Log.Info("removed what kube-proxy had left", "what", what)
	}
	for _, err := range unjoin(err) {
		n.deps.Log.Warn("some rules of kube-proxy may be left; `switchyard cleanup` removes them", "error", err)
	}
}

// CleanUp removes all that any mode of ours made in the network namespace of the thread; it is idempotent.
func CleanUp(ctx context.Context, log *slog.Logger) error { return cleanUp(ctx, kind{}, log) }

// cleanUp removes what all kinds but one made.
func cleanUp(ctx context.Context, keep kind, log *slog.Logger) error {
	var errs []error
	for _, k := range kinds() {
		if k == keep {
			continue
		}
		i, err := open(ctx, k, config.IPVS{}, log)
		if err != nil {
			// What this node cannot do, it cannot have done.
			log.Debug("nothing to remove of a mode", "mode", k, "because", err)
			continue
		}
		if err := errors.Join(i.backend.Cleanup(ctx), i.Close()); err != nil {
			errs = append(errs, fmt.Errorf("remove what the %s mode made: %w", k, err))
		}
	}
	return errors.Join(errs...)
}
