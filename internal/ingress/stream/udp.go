package stream

import (
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/kernel/relay"
)

// udp is the UDP ports. Its relay starts with the first of them.
type udp struct {
	relay *relay.Relay
	ports map[uint16][]*relay.Listener
	pools map[uint16]*route.Pool // of the last sync
}

// sync makes the open ports those of the view.
func (u *udp) sync(s *Services, v *view) (problems []route.Problem) {
	for port := range u.ports {
		if v.udp[port] == nil {
			u.close(port)
		}
	}
	changed := false
	for port, stream := range v.udp {
		pool := v.table.Pool(stream.Backend)
		if u.ports[port] != nil {
			changed = changed || u.pools[port] != pool
			u.pools[port] = pool
			continue
		}
		if err := u.listen(s, port); err != nil {
			u.close(port)
			problems = append(problems, problem(stream, err))
			continue
		}
		u.pools[port] = pool
	}
	if changed {
		u.relay.Revalidate() // clients go on with an endpoint that is left
	}
	return problems
}

func (u *udp) listen(s *Services, port uint16) error {
	if u.relay == nil {
		r, err := relay.New(relay.Config{Workers: 1}, router{s})
		if err != nil {
			return err
		}
		u.relay, u.ports, u.pools = r, map[uint16][]*relay.Listener{}, map[uint16]*route.Pool{}
	}
	for _, a := range eachFamily(s.config.Addresses) {
		l, err := relay.Listen(netip.AddrPortFrom(a, port), relay.ListenOptions{UDP: true})
		if err != nil {
			return err
		}
		u.ports[port] = append(u.ports[port], l)
		u.relay.Accept(l, int(port))
	}
	return nil
}

// eachFamily returns the addresses with "0.0.0.0" for "::", whose sockets take IPv6 only.
func eachFamily(addrs []netip.Addr) []netip.Addr {
	all := slices.Clone(addrs)
	if slices.Contains(addrs, netip.IPv6Unspecified()) && !slices.Contains(addrs, netip.IPv4Unspecified()) {
		all = append(all, netip.IPv4Unspecified())
	}
	return all
}

func (u *udp) close(port uint16) {
	for _, l := range u.ports[port] {
		u.relay.Leave(l)
		_ = l.Close()
	}
	delete(u.ports, port)
}

func (u *udp) stop() error {
	if u.relay == nil {
		return nil
	}
	err := u.relay.Close()
	u.relay = nil
	return err
}

// router gives clients of UDP their endpoints. The class of a client is its port.
type router struct{ services *Services }

func (r router) group(c relay.Client) *balance.Group {
	v := r.services.current.Load()
	s := v.udp[uint16(c.Class)]
	if s == nil {
		return nil
	}
	// The addresses of an ExternalName are not waited for: the first datagrams of all are lost.
	return r.services.config.Balancer.Group(s.Backend, v.table.Pool(s.Backend), time.Now(), func(func()) {})
}

// Next returns an endpoint that was not tried.
func (r router) Next(c relay.Client, tried []netip.AddrPort) (relay.Target, bool) {
	group := r.group(c)
	if group == nil {
		return relay.Target{}, false
	}
	var request balance.Request
	for now := time.Now(); ; {
		e := group.Pick(&request, now)
		if e == nil {
			return relay.Target{}, false
		}
		if !slices.Contains(tried, e.Addr) {
			return relay.Target{Endpoint: e.Addr}, true
		}
	}
}

// Serves says whether the endpoint is still one of the client's port.
func (r router) Serves(c relay.Client, endpoint netip.AddrPort) bool {
	group := r.group(c)
	if group == nil {
		return false
	}
	var request balance.Request
	for now := time.Now(); ; {
		e := group.Pick(&request, now)
		if e == nil {
			return false
		}
		if e.Addr == endpoint {
			return true
		}
	}
}

// Failed, Connected, Heard and Silent are of no interest: what UDP endpoints do says little about them.
func (router) Failed(netip.AddrPort, bool, error) {}

// Connected is of no interest.
func (router) Connected(netip.AddrPort) {}

// Heard is of no interest.
func (router) Heard(netip.AddrPort) {}

// Silent is of no interest.
func (router) Silent(netip.AddrPort) {}

var _ relay.Router = router{}
