package userspace

import (
	"net/netip"
	"sync"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/relay"
	"github.com/switchyard-net/switchyard/internal/model"
)

// affinitySize bounds the clients that are remembered, at about 250 bytes each.
const affinitySize = 1 << 18

// affinityKey is a client of a Service port. The two pools of a port, of all endpoints and of those on this node,
// remember separately.
type affinityKey struct {
	service  model.Ref
	portName string
	protocol model.Protocol
	local    bool
	client   netip.Addr
}

func affinityKeyOf(d choice, c relay.Client) affinityKey {
	return affinityKey{d.service.Ref, d.pool.PortName, d.pool.Protocol, d.pool.Local, c.Source.Addr()}
}

// memory is where a client was sent, and until when that counts.
type memory struct {
	endpoint netip.AddrPort
	until    time.Time
}

// affinity remembers where clients were sent (sessionAffinity ClientIP).
type affinity struct {
	mu   sync.Mutex
	last map[affinityKey]memory // guarded by mu
	full bool                   // guarded by mu; a client was forgotten too early
}

func newAffinity() *affinity { return &affinity{last: map[affinityKey]memory{}} }

func (a *affinity) get(k affinityKey, now time.Time) (netip.AddrPort, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m, ok := a.last[k]
	return m.endpoint, ok && now.Before(m.until)
}

// put remembers a client. Where there are too many, first those go whose time is up, then any.
func (a *affinity) put(k affinityKey, endpoint netip.AddrPort, until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.last[k]; !known && len(a.last) >= affinitySize {
		a.makeRoom(time.Now())
	}
	a.last[k] = memory{endpoint, until}
}

// makeRoom is called with mu held.
func (a *affinity) makeRoom(now time.Time) {
	for k, m := range a.last {
		if !now.Before(m.until) {
			delete(a.last, k)
		}
	}
	for k := range a.last {
		if len(a.last) < affinitySize*7/8 {
			break
		}
		a.full = true
		delete(a.last, k)
	}
}

// wasFull reports whether a client was forgotten too early since it was last asked.
func (a *affinity) wasFull() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	full := a.full
	a.full = false
	return full
}
