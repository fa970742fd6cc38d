package quarantine

import (
	"iter"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// members iterates over the endpoints of a pool, those in quarantine included.
func members(p plan.Pool) iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for _, list := range [][]plan.Endpoint{p.Endpoints, p.Quarantined} {
			for _, e := range list {
				if !yield(e.Addr) {
					return
				}
			}
		}
	}
}

func has(p plan.Pool, endpoint netip.AddrPort) bool {
	for member := range members(p) {
		if member == endpoint {
			return true
		}
	}
	return false
}

// locate returns the Services of a plan that have each of the wanted endpoints in a TCP pool with others: nothing can be
// done about an endpoint that is alone. It looks at every endpoint of the plan, so that no index of them has to be held in
// memory.
func locate(p *plan.Plan, wanted map[netip.AddrPort]struct{}) map[netip.AddrPort][]model.Ref {
	out := map[netip.AddrPort][]model.Ref{}
	for ref, service := range p.Services.All() {
		for i := range service.Pools {
			pool := &service.Pools[i]
			if pool.Protocol != model.TCP || len(pool.Endpoints)+len(pool.Quarantined) < 2 {
				continue
			}
			for _, list := range [...][]plan.Endpoint{pool.Endpoints, pool.Quarantined} {
				for j := range list {
					addr := list[j].Addr
					if _, ok := wanted[addr]; !ok {
						continue
					}
					if known := out[addr]; len(known) == 0 || known[len(known)-1] != ref {
						out[addr] = append(known, ref)
					}
				}
			}
		}
	}
	return out
}
