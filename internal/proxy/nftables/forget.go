package nftables

import (
	"context"
	"encoding/binary"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// forgetTries is how often a removal of memories is tried: an element that expires meanwhile makes it fail.
const forgetTries = 5

// memories are the pools that clients may be remembered for, by their number; nil: no endpoint is left.
type memories map[uint32]*plan.Pool

// add adds the pools of a Service that have affinity.
func (m memories) add(f *family, s *plan.Service) {
	for i := range s.Pools {
		p := &s.Pools[i]
		if p.Affinity != 0 && p.Family == (rules{family: f.table.Family}).model() {
			m[f.ids.of(portName(s.Ref, p), p.Local)] = p
		}
	}
}

// forgetAll removes what the kernel remembers of endpoints that are gone.
func (b *Backend) forgetAll(ctx context.Context, p *plan.Plan) error {
	for _, f := range b.families {
		if f.missing {
			continue
		}
		known := memories{}
		for _, s := range p.Services.All() {
			known.add(f, s)
		}
		count, err := b.forget(ctx, f, func(id uint32) (*plan.Pool, bool) { return known[id], true })
		if err != nil {
			return err
		}
		f.affinityFull = count >= affinitySize
	}
	return nil
}

// forgetChanged does so for Services that changed, if they lost an endpoint that a client may be remembered for.
func (b *Backend) forgetChanged(ctx context.Context, old, next *plan.Plan, changed []model.Ref) error {
	for _, f := range b.families {
		if f.missing {
			continue
		}
		was, is := memories{}, memories{}
		for _, ref := range changed {
			if s, ok := old.Services.Get(ref); ok {
				was.add(f, s)
			}
			if s, ok := next.Services.Get(ref); ok {
				is.add(f, s)
			}
		}
		for id, p := range was {
			if !lost(p, is[id]) {
				delete(was, id)
			}
		}
		if len(was) == 0 {
			continue
		}
		_, err := b.forget(ctx, f, func(id uint32) (*plan.Pool, bool) {
			_, affected := was[id]
			return is[id], affected
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lost reports whether a pool had an endpoint that it has no more.
func lost(old, next *plan.Pool) bool {
	for _, e := range old.Endpoints {
		if !contains(next, appendEndpoint(nil, e.Addr)) {
			return true
		}
	}
	return false
}

// contains reports whether a pool has an endpoint, given as the kernel has it.
func contains(p *plan.Pool, endpoint []byte) bool {
	if p == nil {
		return false
	}
	var buf [20]byte
	for _, e := range p.Endpoints {
		if string(appendEndpoint(buf[:0], e.Addr)) == string(endpoint) {
			return true
		}
	}
	return false
}

// forget removes the memories that pool selects and whose endpoint the pool does not have. It returns how many memories
// there are.
func (b *Backend) forget(ctx context.Context, f *family, pool func(id uint32) (p *plan.Pool, affected bool)) (count int, err error) {
	set := &f.sets[setCount]
	idOffset := int(set.KeyLen) - 4
	for range forgetTries {
		var tx nft.Transaction
		restart := func() { tx.Reset(); count = 0 }
		restart()
		err = b.kernel.Elements(ctx, f.table, set.Name, restart, func(e nft.Element) {
			count++
			p, affected := pool(binary.NativeEndian.Uint32(e.Key[idOffset:]))
			if affected && !contains(p, e.Data) {
				tx.DeleteElement(f.table, set, e.Key)
			}
		})
		if err != nil || tx.Len() == 0 {
			return count, err
		}
		// An element may have expired since it was listed.
		if err = b.run(ctx, &tx, &plan.Report{}); !nft.IsNotExist(err) {
			return count, err
		}
	}
	return count, err
}
