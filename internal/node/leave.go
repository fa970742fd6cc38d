package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/kernel/leftovers"
	"github.com/switchyard-net/switchyard/internal/kernel/localdns"
	"github.com/switchyard-net/switchyard/internal/proxy"
)

// removeOthers removes, now that the rules of this mode are in force, those of our other modes, and those of kube-proxy of
// any mode: packets would go by theirs or by ours, whichever come first. Connections that are established keep what
// conntrack has noted of them.
func (n *Node) removeOthers(ctx context.Context) {
	for _, err := range unjoin(cleanUp(ctx, n.mode.kind, n.deps.Log)) {
		if ctx.Err() == nil {
			n.deps.Log.Warn("some rules of another mode may be left; `switchyard cleanup` removes them", "error", err)
		}
	}
	removed, err := leftovers.Remove(ctx, leftovers.KubeProxyTable)
	for _, what := range removed {
		n.deps.Log.Info("removed what kube-proxy had left", "what", what)
	}
	for _, err := range unjoin(err) {
		n.deps.Log.Warn("some rules of kube-proxy may be left; `switchyard cleanup` removes them", "error", err)
	}
}

// The pause between two looks at how many connections a mode that is left still has grows from the first to the last.
const (
	firstRetirePause = 200 * time.Millisecond
	lastRetirePause  = 3 * time.Second
)

// CleanUp removes all that any mode of ours, or kube-proxy, made in the network namespace of the thread, and returns what
// it removed, for people. It goes on after errors, which it joins, and is idempotent. Connections that need their mode end.
func CleanUp(ctx context.Context, log *slog.Logger) (removed []string, err error) {
	var errs []error
	for _, k := range kinds() {
		made, err := leave(ctx, k, log, false)
		if made {
			removed = append(removed, fmt.Sprintf("the rules of the %s mode", k))
		}
		errs = append(errs, err)
	}
	names, err := localdns.Release(ctx)
	if names {
		removed = append(removed, "the addresses of the cluster DNS")
	}
	errs = append(errs, err)
	theirs, err := leftovers.Remove(ctx, leftovers.KubeProxyTable)
	return append(removed, theirs...), errors.Join(append(errs, err)...)
}

// cleanUp removes what all kinds but one made, each once its connections do not need it any more. The kinds that wait for
// theirs do so at the same time.
func cleanUp(ctx context.Context, keep kind, log *slog.Logger) error {
	errs := make([]error, len(kinds()))
	var waiting sync.WaitGroup
	for n, k := range kinds() {
		if k != keep {
			waiting.Go(func() { _, errs[n] = leave(ctx, k, log, true) })
		}
	}
	waiting.Wait()
	return errors.Join(errs...)
}

// leave removes what a kind made, if it made something; gently, once no established connection needs it.
func leave(ctx context.Context, k kind, log *slog.Logger, gently bool) (made bool, err error) {
	if k.mode == config.ModeIPVS && !ipvs.Loaded() {
		return false, nil // opening it would load it
	}
	i, err := open(ctx, k, config.IPVS{}, log)
	if err != nil {
		// What this node cannot do, it cannot have done.
		log.Debug("nothing to remove of a mode", "mode", k, "because", err)
		return false, nil
	}
	defer func() {
		if err = errors.Join(err, i.Close()); err != nil {
			err = fmt.Errorf("remove what the %s mode made: %w", k, err)
		}
	}()
	if made, err = i.made(ctx); err != nil {
		return false, err
	}
	if retirer, ok := i.backend.(proxy.Retirer); ok && made && gently {
		if err := retire(ctx, k, retirer, log); err != nil {
			return true, err
		}
	}
	// Also where nothing is seen: a part may be left.
	return made, i.backend.Cleanup(ctx)
}

// retireIPVS keeps new connections from the ipvs mode, if this node was in it, before another mode's rules come into force:
// it takes packets by a mark that they have got before, although those rules have translated them already. New
// connections fail, or are tried again a second later, until the first Sync has ended.
func (n *Node) retireIPVS(ctx context.Context) {
	if !ipvs.Loaded() {
		return
	}
	i, err := open(ctx, kind{mode: config.ModeIPVS}, config.IPVS{}, n.deps.Log)
	if err != nil {
		return // what this node cannot do, it cannot have done
	}
	defer i.Close()
	if _, err := i.backend.(proxy.Retirer).Retire(ctx); err != nil {
		n.deps.Log.Warn("the ipvs mode's rules are in force beside those of this mode for a moment", "error", err)
	}
}

// retire waits until no connection needs a backend any more. The error may be that of ctx: the next start goes on.
func retire(ctx context.Context, k kind, r proxy.Retirer, log *slog.Logger) error {
	for pause := firstRetirePause; ; pause = min(2*pause, lastRetirePause) {
		left, err := r.Retire(ctx)
		if err != nil || left == 0 {
			return err
		}
		if pause == firstRetirePause {
			log.Info("connections keep the rules of another mode until they end", "mode", k, "connections", left)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
