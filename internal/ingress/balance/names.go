package balance

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Lookup finds the addresses of a host name, and for how long they may be kept. It may block.
type Lookup func(ctx context.Context, name string) (list []netip.Addr, ttl time.Duration, err error)

// The bounds of what is kept of names: how long an answer holds at least and at most, how long one that cannot be renewed is still
// used, and how long a question may take.
const (
	minTTL      = time.Second
	maxTTL      = time.Minute
	staleFor    = 10 * time.Minute
	lookupTime  = 5 * time.Second
	failedTTL   = 2 * time.Second
	resolverTTL = 5 * time.Second // of the system's resolver, which does not tell
	maxNames    = 4096
)

// names are the answers that are kept, by name. Who asks for a fresh one reads under a lock; who has to wait for one waits for the
// one question that is under way.
type names struct {
	find Lookup

	mu   sync.Mutex
	list map[string]*name
}

// name is what is known of one name; its fields are guarded by the mutex of names.
type name struct {
	addresses *addresses
	fresh     time.Time     // until when
	stale     time.Time     // until when it is used if there is no newer one
	asking    chan struct{} // closed when the question under way is answered; nil: none is
}

// addresses is one answer, which is told from another by its pointer.
type addresses struct{ list []netip.Addr }

func newNames(find Lookup) *names {
	if find == nil {
		find = Resolver{}.Lookup
	}
	return &names{find: find, list: map[string]*name{}}
}

// lookup returns the addresses of a name. An answer that has just expired is still given while a new one is asked for; without one,
// await waits for it. The result is never nil, and may be empty.
func (n *names) lookup(host string, now time.Time, await func(func())) *addresses {
	n.mu.Lock()
	known := n.list[host]
	if known == nil {
		n.trim(now)
		known = &name{addresses: &addresses{}}
		n.list[host] = known
	}
	if now.Before(known.fresh) {
		defer n.mu.Unlock()
		return known.addresses
	}
	if known.asking == nil {
		known.asking = make(chan struct{})
		go n.ask(host, known)
	}
	asking := known.asking
	if now.Before(known.stale) {
		defer n.mu.Unlock()
		return known.addresses
	}
	n.mu.Unlock()
	await(func() { <-asking })
	n.mu.Lock()
	defer n.mu.Unlock()
	return known.addresses
}

// ask puts one question and keeps the answer.
func (n *names) ask(host string, known *name) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	list, ttl, err := n.find(ctx, host)
	cancel()
	for i := range list {
		list[i] = list[i].Unmap().WithZone("")
	}
	list = slices.DeleteFunc(list, isOwn)
	slices.SortFunc(list, netip.Addr.Compare)
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	close(known.asking)
	known.asking = nil
	if err != nil || len(list) == 0 {
		known.fresh = now.Add(failedTTL)
		if !now.Before(known.stale) {
			known.addresses = &addresses{}
		}
		return
	}
	known.fresh = now.Add(min(max(ttl, minTTL), maxTTL))
	known.stale = known.fresh.Add(staleFor)
	if !slices.Equal(known.addresses.list, list) {
		known.addresses = &addresses{list: list}
	}
}

// isOwn tells whether an address leads to this machine, or to no single one: whoever may write a Service is not to reach what
// listens on the entry's loopback, by a name that is made to lead there.
func isOwn(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsUnspecified() || addr.IsMulticast()
}

// trim makes room for one more name: those that are of no use any more go, or all, if there are none.
func (n *names) trim(now time.Time) {
	if len(n.list) < maxNames {
		return
	}
	for host, known := range n.list {
		if known.asking == nil && now.After(known.stale) {
			delete(n.list, host)
		}
	}
	if len(n.list) >= maxNames {
		clear(n.list)
	}
}
