package plan

import (
	"slices"

	"github.com/switchyard-net/switchyard/internal/model"
)

// claims settles which Service answers on a key that several claim, as is possible with external IPs and load-balancer
// addresses. A Service's own cluster IP comes first, then the older Service, then the first by name: so all nodes decide
// alike, and nobody takes over an address that is in use.
type claims struct {
	owner map[Key]model.Ref
	// waiting holds the other claimants of a key, in no particular order.
	waiting map[Key][]model.Ref
	// held holds the keys that each Service claims, whether it owns them or waits.
	held map[model.Ref][]Key
}

func newClaims() claims {
	return claims{owner: map[Key]model.Ref{}, waiting: map[Key][]model.Ref{}, held: map[model.Ref][]Key{}}
}

// update replaces the claims of the Services built, and returns the names of those that claim a key whose owner has
// changed by that.
func (c *claims) update(snap *model.Snapshot, built map[model.Ref]*Service) []model.Ref {
	var affected []model.Ref
	for ref := range built {
		for _, k := range c.held[ref] {
			affected = append(affected, c.release(snap, ref, k)...)
		}
		delete(c.held, ref)
	}
	for ref, s := range built {
		if s == nil {
			continue
		}
		keys := make([]Key, len(s.Frontends))
		for i, f := range s.Frontends {
			keys[i] = f.Key
			affected = append(affected, c.acquire(snap, ref, f.Key)...)
		}
		c.held[ref] = keys
	}
	return affected
}

// release takes a claim back, and returns who else claims the key, if its owner changes.
func (c *claims) release(snap *model.Snapshot, ref model.Ref, k Key) []model.Ref {
	waiting := c.waiting[k]
	if c.owner[k] != ref {
		c.wait(k, slices.DeleteFunc(waiting, func(r model.Ref) bool { return r == ref }))
		return nil
	}
	if len(waiting) == 0 {
		delete(c.owner, k)
		return nil
	}
	best := waiting[0]
	for _, r := range waiting[1:] {
		if before(snap, r, best, k) {
			best = r
		}
	}
	affected := slices.Clone(waiting)
	c.owner[k] = best
	c.wait(k, slices.DeleteFunc(waiting, func(r model.Ref) bool { return r == best }))
	return affected
}

// acquire enters a claim, and returns who else claims the key, if its owner changes.
func (c *claims) acquire(snap *model.Snapshot, ref model.Ref, k Key) []model.Ref {
	owner, taken := c.owner[k]
	switch {
	case !taken:
		c.owner[k] = ref
		return nil
	case before(snap, ref, owner, k):
		c.owner[k] = ref
		c.wait(k, append(c.waiting[k], owner))
		return slices.Clone(c.waiting[k])
	}
	c.wait(k, append(c.waiting[k], ref))
	return nil
}

func (c *claims) wait(k Key, refs []model.Ref) {
	if len(refs) == 0 {
		delete(c.waiting, k)
		return
	}
	c.waiting[k] = refs
}

// settle returns a Service's plan without the frontends that others own, each of which becomes a problem.
func (c *claims) settle(snap *model.Snapshot, s *Service) *Service {
	if s == nil || !slices.ContainsFunc(s.Frontends, func(f Frontend) bool { return c.owner[f.Key] != s.Ref }) {
		return s
	}
	svc, _ := snap.Services.Get(s.Ref)
	kept := s.Frontends[:0]
	for _, f := range s.Frontends {
		winner := c.owner[f.Key]
		if winner == s.Ref {
			kept = append(kept, f)
			continue
		}
		s.Problems = append(s.Problems, model.Problem{
			Field: origin(svc, f.Key),
			Message: f.Key.String() + " is already served for Service " + winner.String() +
				", so this Service is not answered there; give one of them another address or port",
		})
	}
	s.Frontends = kept
	return s
}

// before reports whether the claim of a to a key comes before that of b.
func before(snap *model.Snapshot, a, b model.Ref, k Key) bool {
	sa, _ := snap.Services.Get(a)
	sb, _ := snap.Services.Get(b)
	if sa == nil || sb == nil {
		return sa != nil
	}
	if own := slices.Contains(sa.ClusterIPs, k.Addr); own != slices.Contains(sb.ClusterIPs, k.Addr) {
		return own
	}
	if c := sa.Created.Compare(sb.Created); c != 0 {
		return c < 0
	}
	return compareRefs(a, b) < 0
}

// origin returns the field of a Service that a key comes from.
func origin(s *model.Service, k Key) string {
	switch {
	case k.AnyNode():
		return "spec.ports[].nodePort"
	case slices.Contains(s.ClusterIPs, k.Addr):
		return "spec.clusterIPs"
	case slices.Contains(s.ExternalIPs, k.Addr):
		return "spec.externalIPs"
	}
	return "status.loadBalancer.ingress"
}
