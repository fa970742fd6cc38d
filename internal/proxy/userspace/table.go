package userspace

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// table finds the frontend that a client means. It is changed by one goroutine, and read by many.
type table struct {
	mu        sync.RWMutex
	frontends map[plan.Key]entry          // guarded by mu
	services  map[model.Ref]*plan.Service // guarded by mu; as they were last added
	keys      map[model.Ref][]plan.Key    // guarded by mu; of each Service, those that it has and those to be removed
}

// entry is a frontend in its Service.
type entry struct {
	service  *plan.Service
	frontend *plan.Frontend
}

func newTable() *table {
	return &table{frontends: map[plan.Key]entry{}, services: map[model.Ref]*plan.Service{}, keys: map[model.Ref][]plan.Key{}}
}

// find returns the frontend that answers at an address and port; false: none does. That the address is one that answers
// on node ports, packet rules have found already.
func (t *table) find(to netip.AddrPort, protocol model.Protocol) (entry, bool) {
	key := plan.Key{Addr: to.Addr(), Port: to.Port(), Protocol: protocol}
	t.mu.RLock()
	defer t.mu.RUnlock()
	e, ok := t.frontends[key]
	if !ok {
		key.Addr = netip.IPv6Unspecified()
		if to.Addr().Is4() {
			key.Addr = netip.IPv4Unspecified()
		}
		e, ok = t.frontends[key]
	}
	return e, ok
}

// isFrontend reports whether an endpoint is itself the address of a Service: a connection to it would come back here.
func (t *table) isFrontend(endpoint netip.AddrPort, protocol model.Protocol) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ok := t.frontends[plan.Key{Addr: endpoint.Addr(), Port: endpoint.Port(), Protocol: protocol}]
	return ok
}

// add puts the Services of a plan in force, and leaves frontends that are gone for remove: packet rules lead here until
// they have changed too. It returns how many frontends differ, and whether flows of UDP may have to end.
func (t *table) add(u plan.Update) (changes int, udp bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ref := range t.concerned(u) {
		next, _ := u.Plan.Services.Get(ref)
		old := t.services[ref]
		if next == old {
			continue
		}
		udp = udp || hasUDP(old) || hasUDP(next)
		if next == nil {
			delete(t.services, ref)
			continue
		}
		t.services[ref] = next
		for i := range next.Frontends {
			key := next.Frontends[i].Key
			t.frontends[key] = entry{next, &next.Frontends[i]}
			t.keys[ref] = append(t.keys[ref], key)
			changes++
		}
	}
	return changes, udp
}

// remove takes out the frontends that a plan, which was added, does not have any more.
func (t *table) remove(u plan.Update) (changes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ref := range t.concerned(u) {
		next := t.services[ref]
		var kept []plan.Key
		for _, key := range t.keys[ref] {
			switch e := t.frontends[key]; {
			case e.service == nil || e.service.Ref != ref:
			case e.service == next:
				kept = append(kept, key)
			default:
				delete(t.frontends, key)
				changes++
			}
		}
		if len(kept) > 0 {
			slices.SortFunc(kept, comparePlanKeys)
			t.keys[ref] = slices.Compact(kept)
		} else {
			delete(t.keys, ref)
		}
	}
	return changes
}

func comparePlanKeys(a, b plan.Key) int {
	if c := a.Addr.Compare(b.Addr); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
}

// concerned returns the Services that may differ. It is called with mu held.
func (t *table) concerned(u plan.Update) []model.Ref {
	if !u.Full {
		return u.Changed
	}
	refs := make([]model.Ref, 0, u.Plan.Services.Len())
	for ref := range u.Plan.Services.All() {
		refs = append(refs, ref)
	}
	for ref := range t.keys {
		if _, kept := u.Plan.Services.Get(ref); !kept {
			refs = append(refs, ref)
		}
	}
	return refs
}

// has reports whether a Service has frontends of a protocol.
func has(s *plan.Service, protocol model.Protocol) bool {
	if s == nil {
		return false
	}
	for i := range s.Frontends {
		if s.Frontends[i].Key.Protocol == protocol {
			return true
		}
	}
	return false
}

func hasUDP(s *plan.Service) bool { return has(s, model.UDP) }
