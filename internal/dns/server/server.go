package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/fastpath"
	"github.com/switchyard-net/switchyard/internal/dns/plugin"
)

// Config of a Server.
type Config struct {
	// Corefile is the path of the Corefile; empty: Default(Zone).
	Corefile string
	// Zone is the cluster's domain; empty: cluster.local. It means nothing where there is a Corefile.
	Zone string
	// Changed tells that the Corefile may have changed, for one that has the directive reload: it need not wait for its interval. May be nil.
	Changed <-chan struct{}
	// OnNode makes the default DefaultOnNode.
	OnNode bool
	// Bind are the addresses to listen on of server blocks without the directive bind; empty: all of the host's.
	Bind []string
	// Sockets is the number of sockets of the fast path an address; 0: GOMAXPROCS, 8 at most.
	Sockets int
	// NoFastPath leaves every question to CoreDNS.
	NoFastPath bool
}

// corefile returns the Corefile as it is now.
func (c Config) corefile() (Corefile, error) {
	zone := cmp.Or(c.Zone, "cluster.local")
	switch {
	case c.Corefile != "":
		return Read(c.Corefile)
	case c.OnNode:
		return DefaultOnNode(zone), nil
	}
	return Default(zone), nil
}

// Deps are what a Server works with.
type Deps struct {
	Plugin plugin.Deps
	Log    *slog.Logger
	// Tried, if set, is told of each Corefile that was tried after the first: nil if it is being served, else what is wrong with it,
	// and that the last good one stays.
	Tried func(error)
}

// maxSockets is where more sockets stop to be worth their memory; a socket takes what about 200,000 queries a second cost.
const maxSockets = 8

// handOverGrace is how long CoreDNS may take for the questions under way when a listener ends.
const handOverGrace = 2 * time.Second

// Status says how the questions of one zone of a listener are answered.
type Status struct {
	// Address is CoreDNS's name of the listener, such as "dns://:53".
	Address string `json:"address"`
	Zone    string `json:"zone"`
	// Where is the server block, such as "Corefile:2".
	Where string `json:"where"`
	// Slow says why every question goes to CoreDNS; empty: the fast path answers what it can.
	Slow string `json:"slow,omitempty"`
	// Uncached says why the fast path keeps no answers of other zones; empty: it does.
	Uncached string `json:"uncached,omitempty"`
}

// Server is CoreDNS with the fast path in front.
type Server struct {
	config  Config
	deps    Deps
	process *process
	started chan struct{} // closed when the first Corefile is being served

	mu        sync.Mutex
	instance  *caddy.Instance
	input     *input
	listeners map[string]*fastpath.Listener // by dnsserver.Server.Addr
	statuses  map[string][]Status           // by the same
	// arrived are servers that have begun to serve and have no listener yet; wake tells of them.
	arrived []arrival
	wake    chan struct{}
}

// arrival is a server of an instance.
type arrival struct {
	server *dnsserver.Server
	input  *input
}

// New returns a server that does nothing until Run.
func New(config Config, deps Deps) (*Server, error) {
	if config.Sockets == 0 {
		config.Sockets = min(runtime.GOMAXPROCS(0), maxSockets)
	}
	process, err := register()
	if err != nil {
		return nil, err
	}
	return &Server{
		config: config, deps: deps, process: process, started: make(chan struct{}), wake: make(chan struct{}, 1),
		listeners: map[string]*fastpath.Listener{}, statuses: map[string][]Status{},
	}, nil
}

// Run serves until ctx is done. The error is that of the first Corefile; later ones are logged, and the last good one stays.
func (s *Server) Run(ctx context.Context) error {
	current, hash, err := s.start()
	if err != nil {
		return err
	}
	s.process.version(hash)
	close(s.started)
	defer s.stop()
	for {
		var tick <-chan time.Time
		var changed <-chan struct{}
		if interval := reloadInterval(current); interval > 0 && s.config.Corefile != "" {
			tick, changed = time.After(interval), s.config.Changed
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			s.attach()
			continue
		case <-tick:
		case <-changed:
		}
		current, hash = s.reload(current, hash)
	}
}

// Started is closed when the first Corefile is being served.
func (s *Server) Started() <-chan struct{} { return s.started }

// Statuses says how each zone of each listener that has a block of ours is served.
func (s *Server) Statuses() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Status
	for _, statuses := range s.statuses {
		all = append(all, statuses...)
	}
	slices.SortFunc(all, compareStatus)
	return all
}

// Bound returns the addresses that the listeners are bound to, of UDP and of TCP.
func (s *Server) Bound() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []net.Addr
	for _, server := range s.instance.Servers() {
		all = append(all, server.LocalAddr(), server.Addr())
	}
	return all
}

// read returns the Corefile as it is now.
func (s *Server) read() (*input, string, error) {
	corefile, err := s.config.corefile()
	if err != nil {
		return nil, "", err
	}
	parsed, err := corefile.parse()
	if err != nil {
		return nil, "", err
	}
	hash, err := digest(parsed)
	if err != nil {
		return nil, "", err
	}
	in := &input{corefile: corefile, parsed: parsed, blocks: analyze(parsed), deps: s.deps.Plugin, bind: s.config.Bind}
	in.serving = func(server *dnsserver.Server) {
		in.begun.note()
		s.arrive(arrival{server, in})
	}
	return in, hash, nil
}

// start serves the first Corefile.
func (s *Server) start() (*caddy.Instance, string, error) {
	in, hash, err := s.read()
	if err != nil {
		return nil, "", err
	}
	s.deps.Log.Info("serving DNS", "corefile", in.Path(), "sha512", hash[:12])
	instance, err := caddy.Start(in)
	if err != nil {
		return nil, "", locate(err, in.parsed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instance, s.input = instance, in
	return instance, hash, nil
}

// reload serves the Corefile if it has changed, and returns the instance that serves from now on and the hash of the Corefile
// that was looked at: one with an error is not tried twice.
func (s *Server) reload(current *caddy.Instance, hash string) (*caddy.Instance, string) {
	in, now, err := s.read()
	if err != nil {
		if s.process.failed(err.Error()) {
			s.tried(fmt.Errorf("the Corefile cannot be read; serving by the last good one: %w", err))
		}
		return current, hash
	}
	if now == hash {
		return current, hash
	}
	next, err := current.Restart(in)
	if err == nil && next == nil {
		err = errors.New("a plugin panicked; see above")
	}
	if err != nil {
		s.process.failed("")
		s.tried(fmt.Errorf("the new Corefile is refused; serving by the last good one: %w", locate(err, in.parsed)))
		return current, now
	}
	s.process.version(now)
	s.deps.Log.Info("serving the new Corefile", "corefile", in.Path(), "sha512", now[:12])
	s.mu.Lock()
	s.instance, s.input = next, in
	s.mu.Unlock()
	s.detach()
	s.attach()
	s.tried(nil)
	return next, now
}

// tried says what has become of a Corefile.
func (s *Server) tried(err error) {
	if err != nil {
		s.deps.Log.Error("DNS", "error", err)
	}
	if s.deps.Tried != nil {
		s.deps.Tried(err)
	}
}

// arrive takes note of a server. One whose address has a listener already gets its questions at once: the plugins of the one before are
// about to be shut down.
func (s *Server) arrive(a arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.listeners[a.server.Addr]; l != nil {
		target, statuses, err := s.target(a)
		if err == nil && target != nil {
			l.Use(*target)
			s.setStatus(a.server.Addr, statuses)
			return
		}
	}
	s.arrived = append(s.arrived, a)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// target returns what a listener for a server works for; nil: the server is to have none. s.mu is held.
func (s *Server) target(a arrival) (*fastpath.Target, []Status, error) {
	all, statuses, err := a.input.routes(a.server, s.process.counts)
	if s.config.NoFastPath {
		statuses = a.input.allSlow(a.server, "the fast path is switched off")
	}
	if err != nil || all == nil || s.config.NoFastPath {
		return nil, statuses, err
	}
	routes, err := fastpath.NewRoutes(all)
	if err != nil {
		return nil, nil, err
	}
	return &fastpath.Target{Routes: routes, Serve: func(w dns.ResponseWriter, r *dns.Msg) {
		ctx := context.WithValue(context.Background(), dnsserver.Key{}, a.server)
		a.server.ServeDNS(context.WithValue(ctx, dnsserver.LoopKey{}, 0), w, r)
	}}, statuses, nil
}

// attach puts a listener before each server that has arrived.
func (s *Server) attach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.arrived {
		if a.input != s.input {
			continue // of an instance that is gone, or failed to start
		}
		if err := s.listen(a); err != nil {
			s.deps.Log.Error("no fast path; CoreDNS answers", "listener", a.server.Addr, "error", err)
		}
	}
	s.arrived = nil
}

// listen puts a listener before one server. s.mu is held.
func (s *Server) listen(a arrival) error {
	target, statuses, err := s.target(a)
	if err != nil {
		return err
	}
	s.setStatus(a.server.Addr, statuses)
	old := s.listeners[a.server.Addr]
	switch {
	case target == nil && old != nil:
		delete(s.listeners, a.server.Addr)
		return closeListener(old)
	case target == nil:
		return nil
	case old != nil:
		old.Use(*target)
		return nil
	}
	address, err := boundTo(s.instance, a.server)
	if err != nil {
		return err
	}
	l, err := fastpath.Listen(fastpath.Config{
		Addr: address, Sockets: s.config.Sockets, Log: s.deps.Log, Dropped: s.process.dropped.WithLabelValues(a.server.Addr).Inc,
	}, *target)
	if err != nil {
		return err
	}
	s.listeners[a.server.Addr] = l
	return nil
}

// detach closes the listeners of addresses that the present Corefile no longer has.
func (s *Server) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for addr, l := range s.listeners {
		if len(s.groupOf(addr)) == 0 {
			delete(s.listeners, addr)
			delete(s.statuses, addr)
			s.process.forget(addr)
			if err := closeListener(l); err != nil {
				s.deps.Log.Error("closing a listener", "listener", addr, "error", err)
			}
		}
	}
}

func (s *Server) groupOf(addr string) []*dnsserver.Config {
	configs, _ := s.input.group(&dnsserver.Server{Addr: addr})
	return configs
}

// setStatus publishes the status of a listener, and logs what is new. s.mu is held.
func (s *Server) setStatus(addr string, statuses []Status) {
	before := s.statuses[addr]
	s.statuses[addr] = statuses
	s.process.status(addr, statuses)
	for _, status := range statuses {
		if slices.Contains(before, status) {
			continue
		}
		log := s.deps.Log.With("listener", status.Address, "zone", status.Zone, "block", status.Where)
		if status.Slow != "" {
			log.Info("fast path off: CoreDNS answers every question", "reason", status.Slow)
		} else {
			log.Info("fast path on", "cachedForwards", status.Uncached == "", "reason", status.Uncached)
		}
	}
}
