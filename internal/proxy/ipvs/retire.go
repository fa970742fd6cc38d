package ipvs

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
)

// Retire keeps the first packets of connections from IPVS and leaves all others to it, as proxy.Retirer describes: the
// chain that looks for frontends is emptied, what marks further packets stays. left counts the connections that IPVS
// remembers, those that have ended a moment ago among them.
func (b *Backend) Retire(ctx context.Context) (left int, err error) {
	b.last = nil
	for _, f := range b.families {
		if err := b.retire(ctx, f); err != nil {
			return 0, err
		}
		n, err := b.connections(ctx, f)
		if err != nil {
			return 0, err
		}
		left += n
	}
	return left, nil
}

// connections returns how many connections a family's virtual servers have.
func (b *Backend) connections(ctx context.Context, f *family) (n int, err error) {
	mark, err := b.deps.Routes.Delivered(f.model)
	if err != nil || mark == 0 {
		return 0, err
	}
	all, err := b.deps.Servers.Services(ctx)
	if err != nil {
		return 0, err
	}
	var list []ipvs.Server
	for _, s := range all {
		if s.Key.Family != f.model || s.Key.Mark&mark == 0 {
			continue
		}
		if list, err = b.deps.Servers.Servers(ctx, s.Key, list[:0]); err != nil {
			return 0, err
		}
		for _, server := range list {
			n += int(server.Connections)
		}
	}
	return n, nil
}

// retire empties the chain that first packets are sent through, unless it is gone or empty.
func (b *Backend) retire(ctx context.Context, f *family) error {
	saved, err := b.savedRules(ctx, f)
	if err == nil && !strings.Contains(saved, "mangle -A "+chainServices+" ") {
		return nil
	}
	if err != nil {
		return err
	}
	err = b.deps.Rules.Restore(ctx, f.model, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "*mangle\n:%s - [0:0]\nCOMMIT\n", chainServices)
		return err
	})
	if err != nil {
		return fmt.Errorf("empty the %s chain %s: %w", f.model, chainServices, err)
	}
	return nil
}
