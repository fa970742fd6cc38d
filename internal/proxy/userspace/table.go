package userspace

import (
	"net/netip"
	"sync"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// table finds the frontend that a client means. It is changed by one goroutine, and read by many.
type table struct {
	mu        sync.RWMutex
	frontends map[plan.Key]entry          // guarded by mu
	services  map[model.Ref]*plan.Service // guarded by mu
	local     plan.LocalPods              // guarded by mu
}

// entry is a frontend in its Service.
type entry struct {
	service  *plan.Service
	frontend *plan.Frontend
}

func newTable() *table {
	return &table{frontends: map[plan.Key]entry{}, services: map[model.Ref]*plan.Service{}}
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
	t.local = u.Plan.Node.LocalPods
	for _, ref := range t.concerned(u) {
		next, _ := u.Plan.Services.Get(ref)
		old := t.services[ref]
		if next == old {
			continue
		}
		udp = udp || hasUDP(old) || hasUDP(next)
		if next == nil {
			continue
		}
		for i := range next.Frontends {
			t.frontends[next.Frontends[i].Key] = entry{next, &next.Frontends[i]}
			changes++
		}
	}
	return changes, udp
}

// remove takes out the frontends that a plan does not have any more, and remembers the Services that it has.
func (t *table) remove(u plan.Update) (changes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ref := range t.concerned(u) {
		next, _ := u.Plan.Services.Get(ref)
		if old := t.services[ref]; old != nil && old != next {
			for i := range old.Frontends {
				key := old.Frontends[i].Key
				if e := t.frontends[key]; e.service != nil && e.service.Ref == ref && e.service != next {
					delete(t.frontends, key)
					changes++
				}
			}
		}
		if next == nil {
			delete(t.services, ref)
		} else {
			t.services[ref] = next
		}
	}
	return changes
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
	for ref := range t.services {
		if _, kept := u.Plan.Services.Get(ref); !kept {
			refs = append(refs, ref)
		}
	}
	return refs
}

// services with a protocol.
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
