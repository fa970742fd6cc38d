package ipvs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
)

// forgetPatience is for how long at most a mode that is left is kept for connections that have ended already. It is a bit
// longer than IPVS remembers those that were reset: the kernel takes the conntrack entry with what it forgets, which may be
// that of another connection from the same source port by then. After a FIN it remembers for two minutes, and each
// connection of another mode that happens to use the port and the endpoint again adds two: that is not waited for.
const forgetPatience = 15 * time.Second

// Retire keeps the first packets of connections from IPVS and leaves all others to it, as proxy.Retirer describes: the
// chain that looks for frontends is emptied, what marks further packets stays. left counts the connections that are open,
// and when there have been none for less than forgetPatience, those that IPVS remembers.
func (b *Backend) Retire(ctx context.Context) (left int, err error) {
	b.last = nil
	remembered := 0
	for _, f := range b.families {
		mark, err := b.deps.Routes.Delivered(f.model)
		if err != nil {
			return 0, err
		}
		if mark == 0 {
			continue // no rules either: they are made after it, and removed before
		}
		if err := b.retire(ctx, f); err != nil {
			return 0, err
		}
		n, err := b.remembered(ctx, f, mark)
		if err != nil {
			return 0, err
		}
		open, err := b.open(f, mark)
		if err != nil {
			return 0, err
		}
		remembered += n
		left += min(open, n) // idle ones may be forgotten
	}
	if left > 0 {
		b.closed = time.Time{}
		return left, nil
	}
	if b.closed.IsZero() {
		b.closed = time.Now()
	}
	if time.Since(b.closed) < b.memory {
		return remembered, nil
	}
	return 0, nil
}

// open returns how many connections that IPVS has translated are open.
func (b *Backend) open(f *family, mark uint32) (n int, err error) {
	list, err := b.deps.Tracker.Marked(f.model, mark)
	if err != nil && !errors.Is(err, conntrack.ErrPartial) {
		return 0, err
	}
	for _, c := range list {
		if c.Open() {
			n++
		}
	}
	if err != nil {
		n++ // one may be missing
	}
	return n, nil
}

// remembered returns how many connections a family's virtual servers have.
func (b *Backend) remembered(ctx context.Context, f *family, mark uint32) (n int, err error) {
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
	full := false
	err := b.deps.Rules.Save(ctx, f.model, "mangle", func(line []byte) error {
		full = full || bytes.HasPrefix(line, []byte("-A "+chainServices+" "))
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the %s rules: %w", f.model, err)
	}
	if !full {
		return nil
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
