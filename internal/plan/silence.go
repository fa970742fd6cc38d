package plan

import (
	"net/netip"
	"slices"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Silence names the endpoints that do not answer this node, whatever the API server says of them: by address and port,
// for all protocols at once.
type Silence map[netip.AddrPort]struct{}

// has reports whether the endpoint at an address and port is silent.
func (s Silence) has(endpoint netip.AddrPort) bool {
	_, ok := s[endpoint]
	return ok
}

// split divides a set of endpoints into those that stay and those that leave it because they are silent. At most half of
// a set leaves, so never the last one: where more are silent, the fault may be this node's own, and who is left would
// have to bear everything. The first by address leave, so that the choice does not change while others come and go.
func (s Silence) split(set []candidate) (stay, leave []candidate) {
	if len(s) == 0 {
		return set, nil
	}
	room := len(set) / 2
	stay = filter(set, func(c candidate) bool {
		if len(leave) == room || !s.has(c.addr) {
			return true
		}
		leave = append(leave, c)
		return false
	})
	return stay, leave
}

// difference returns what only one of the two names.
func (s Silence) difference(other Silence) Silence {
	out := Silence{}
	for e := range s {
		if _, ok := other[e]; !ok {
			out[e] = struct{}{}
		}
	}
	for e := range other {
		if _, ok := s[e]; !ok {
			out[e] = struct{}{}
		}
	}
	return out
}

// concerned returns the names of the Services with an endpoint that the silence names. It looks at every endpoint of the
// node's plan: a few milliseconds for 100,000.
func (s Silence) concerned(services model.Table[model.Ref, *Service]) []model.Ref {
	if len(s) == 0 {
		return nil
	}
	var out []model.Ref
	for ref, service := range services.All() {
		if slices.ContainsFunc(service.Pools, func(p Pool) bool { return s.concerns(p.Endpoints) || s.concerns(p.Quarantined) }) {
			out = append(out, ref)
		}
	}
	return out
}

func (s Silence) concerns(endpoints []Endpoint) bool {
	return slices.ContainsFunc(endpoints, func(e Endpoint) bool { return s.has(e.Addr) })
}
