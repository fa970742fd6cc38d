package ipvs

import (
	"context"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// dismissPatience is the time between two looks at the real servers that are leaving.
const dismissPatience = 10 * time.Second

// dismiss deletes the real servers that were leaving and whose connections have all ended, and then virtual servers that
// nothing is left of.
//
// A real server of weight 0 must get no connection that is new. By the scheduler it gets none. Where a client uses a
// source port again for which IPVS still remembers a connection, the settings of prepare have IPVS forget that
// (expire_nodest_conn with conn_reuse_mode 1), and likewise where it remembers the client (expire_quiescent_template).
func (b *Backend) dismiss(ctx context.Context, changes []*change, report *plan.Report) error {
	if time.Since(b.dismissed) < b.patience {
		return nil
	}
	b.dismissed = time.Now()
	for _, c := range changes {
		for mark, there := range c.family.servers {
			if len(there.leaving) == 0 {
				continue
			}
			if err := b.dismissFrom(ctx, c, mark, there, report); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Backend) dismissFrom(ctx context.Context, c *change, mark uint32, there *present, report *plan.Report) error {
	service := ipvs.Service{Key: ipvs.Key{Family: c.family.model, Mark: mark}}
	list, err := b.deps.Servers.Servers(ctx, service.Key, nil)
	if err != nil {
		return err
	}
	var changes []ipvs.Change
	left := len(list)
	for _, s := range list {
		if s.Connections == 0 && there.leaving[s.Addr] {
			changes = append(changes, ipvs.Change{Op: ipvs.DeleteDestination, Service: service, Destination: s.Destination})
			delete(there.leaving, s.Addr)
			left--
		}
	}
	if left == 0 {
		changes = append(changes, ipvs.Change{Op: ipvs.DeleteService, Service: service})
		c.family.forget(c.layout, mark)
	}
	return b.run(ctx, changes, report)
}

// forget takes a virtual server off the list of those that the kernel has, and gives its number back unless another has
// it too: a pool that begins or ceases to remember its clients has two for a while.
func (f *family) forget(l layout, mark uint32) {
	delete(f.servers, mark)
	id := l.idOf(mark)
	for port := range uint32(1 << portBits) {
		if f.servers[l.mark(id, port)] != nil {
			return
		}
	}
	f.ids.release(id)
}
