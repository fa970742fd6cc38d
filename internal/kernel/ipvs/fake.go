package ipvs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Fake is an IPVS that lives in memory and accepts and refuses changes as the kernel does. The zero Fake is empty and
// ready to use. It is safe for concurrent use.
type Fake struct {
	// Fault, unless nil, is asked before each call; its error is returned in place of an answer.
	Fault func(call string) error
	// Connections are what Servers reports for real servers that it names.
	Connections map[netip.AddrPort]uint32

	mu       sync.Mutex
	services map[Key]*fakeService // guarded by mu
	timeouts Timeouts             // guarded by mu
}

type fakeService struct {
	Service
	weights map[netip.AddrPort]uint32
}

func (f *Fake) fault(call string) error {
	if f.Fault == nil {
		return nil
	}
	return f.Fault(call)
}

// Run makes the changes in order, and goes on after one that is refused.
func (f *Fake) Run(_ context.Context, changes []Change) error {
	if err := f.fault("run"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var failed error
	for i := range changes {
		if err := f.change(&changes[i]); err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", &changes[i], err)
		}
	}
	return failed
}

func (f *Fake) change(c *Change) error {
	if f.services == nil {
		f.services = map[Key]*fakeService{}
	}
	s := f.services[c.Service.Key]
	switch {
	case c.Op == AddService && s != nil:
		return unix.EEXIST
	case c.Op == AddService:
		f.services[c.Service.Key] = &fakeService{c.Service, map[netip.AddrPort]uint32{}}
		return nil
	case s == nil:
		return unix.ESRCH
	case c.Op == SetService:
		s.Service = c.Service
		return nil
	case c.Op == DeleteService:
		delete(f.services, c.Service.Key)
		return nil
	}
	_, there := s.weights[c.Destination.Addr]
	switch {
	case c.Op == AddDestination && there:
		return unix.EEXIST
	case c.Op != AddDestination && !there:
		return unix.ENOENT
	case c.Op == DeleteDestination:
		delete(s.weights, c.Destination.Addr)
	default:
		s.weights[c.Destination.Addr] = c.Destination.Weight
	}
	return nil
}

// SetTimeouts sets how long connections are remembered.
func (f *Fake) SetTimeouts(_ context.Context, t Timeouts) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.timeouts = t
	return f.fault("timeouts")
}

// Services returns the virtual servers.
func (f *Fake) Services(context.Context) ([]Service, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Service
	for _, k := range f.keys() {
		list = append(list, f.services[k].Service)
	}
	return list, f.fault("services")
}

func (f *Fake) keys() []Key {
	return slices.SortedFunc(maps.Keys(f.services), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Mark, b.Mark))
	})
}

// Servers appends the real servers of a virtual server to list.
func (f *Fake) Servers(_ context.Context, k Key, list []Server) ([]Server, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.services[k]; s != nil {
		for _, addr := range slices.SortedFunc(maps.Keys(s.weights), netip.AddrPort.Compare) {
			list = append(list, Server{Destination{addr, s.weights[addr]}, f.Connections[addr]})
		}
	}
	return list, f.fault("servers")
}

// Dump returns the table as text, sorted.
func (f *Fake) Dump() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, k := range f.keys() {
		s := f.services[k]
		fmt.Fprintf(&b, "%s mark %#x %s", k.Family, k.Mark, s.Scheduler)
		if s.Persistence > 0 {
			fmt.Fprintf(&b, " persistent %s", s.Persistence)
		}
		b.WriteString("\n")
		for _, addr := range slices.SortedFunc(maps.Keys(s.weights), netip.AddrPort.Compare) {
			fmt.Fprintf(&b, "  %s weight %d\n", addr, s.weights[addr])
		}
	}
	return b.String()
}
