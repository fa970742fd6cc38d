package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
)

// ErrModeUnsupported is what New fails with where the kernel lacks what the configured mode needs, or, for auto, what any
// mode needs.
var ErrModeUnsupported = errors.New("this node cannot do the proxy mode")

// choice is a mode that the kernel can do.
type choice struct {
	kind kind
	// why says, where auto chose, what spoke for it; else empty.
	why string
}

// page is what /proxyMode answers: the mode as kube-proxy says it, then, on a line of its own, why auto chose it.
func (c choice) page() string {
	if c.why == "" {
		return c.kind.mode
	}
	return c.kind.mode + "\n" + c.why + "\n"
}

// choose returns the mode to use. It makes sure that the kernel of the thread's network namespace can do it, and changes
// nothing there.
func choose(ctx context.Context, mode string, log *slog.Logger) (choice, error) {
	if mode != config.ModeAuto {
		k, err := try(ctx, mode, log)
		if err != nil {
			return choice{}, fmt.Errorf("%w %q: %w; or choose another mode (%q takes the best that this node can do)",
				ErrModeUnsupported, mode, err, config.ModeAuto)
		}
		return choice{kind: k}, nil
	}
	var not []string
	for _, candidate := range config.Modes() {
		k, err := try(ctx, candidate, log)
		if err != nil {
			not = append(not, fmt.Sprintf("not %s: %v", candidate, err))
			continue
		}
		why := "auto: the best mode of all, and this node can do it"
		if len(not) > 0 {
			why = "auto: the best mode that this node can do; " + strings.Join(not, "; ")
		}
		return choice{kind: k, why: why}, nil
	}
	return choice{}, fmt.Errorf("%w %q: %s", ErrModeUnsupported, mode, strings.Join(not, "; "))
}

// try returns the kind of rules that a mode makes on this node, or an error that says what the mode lacks.
func try(ctx context.Context, mode string, log *slog.Logger) (kind, error) {
	k := kind{mode: mode}
	if mode == config.ModeIPTables {
		k.variant = iptables.Auto
	}
	i, err := open(ctx, k, config.IPVS{}, log)
	if err != nil {
		return kind{}, err
	}
	return i.kind, errors.Join(i.supported(ctx), i.Close())
}

// CheckMode returns ErrModeUnsupported, with what is missing and the way out, unless the kernel can do a mode, in the
// network namespace of the thread. What it tries stays there as tables of iptables that hold nothing.
func CheckMode(ctx context.Context, mode string, log *slog.Logger) error {
	_, err := choose(ctx, mode, log)
	return err
}
