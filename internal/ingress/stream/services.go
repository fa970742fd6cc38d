package stream

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/proxyproto"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Config is what Services need.
type Config struct {
	// Addresses are those of this host that the ports are opened at; "::" is all of both families.
	Addresses []netip.Addr
	// Loops carry TCP; they outlive the Services.
	Loops    []*loop.Loop
	Balancer *balance.Balancer
	// Ended is called on a loop for each TCP session that has ended; nil: nothing is.
	Ended func(*Report)
}

// Report is a TCP session that has ended.
type Report struct {
	Port          uint16
	Client, Local netip.AddrPort
	Took          time.Duration
	Result
}

// Services are the TCP and UDP ports of a table.
type Services struct {
	config  Config
	current atomic.Pointer[view]
	workers []*worker
	open    atomic.Int64 // TCP sessions

	mu      sync.Mutex
	started bool                // guarded by mu
	bound   map[uint16]struct{} // guarded by mu: TCP ports that all loops listen on
	udp     udp                 // guarded by mu
}

// view is a table, and its ports.
type view struct {
	table    *route.Table
	tcp, udp map[uint16]*route.Stream
}

// worker is what a loop has.
type worker struct {
	services *Services
	loop     *loop.Loop
	carrier  Carrier
	ports    map[uint16][]*loop.Listener
}

// New returns Services without ports.
func New(config Config) *Services {
	s := &Services{config: config, bound: map[uint16]struct{}{}}
	for _, l := range config.Loops {
		s.workers = append(s.workers, &worker{
			services: s, loop: l, carrier: Carrier{Balancer: config.Balancer}, ports: map[uint16][]*loop.Listener{},
		})
	}
	return s
}

// Apply opens the ports of a table that are new and closes those that it has no more. Before Start it only keeps the table. The
// problems are complete: all ports that could not be opened.
func (s *Services) Apply(t *route.Table) []route.Problem {
	v := &view{table: t, tcp: map[uint16]*route.Stream{}, udp: map[uint16]*route.Stream{}}
	for i := range t.Streams {
		switch stream := &t.Streams[i]; stream.Protocol {
		case model.TCP:
			v.tcp[stream.Port] = stream
		case model.UDP:
			v.udp[stream.Port] = stream
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.Store(v)
	if !s.started {
		return nil
	}
	return s.sync(v)
}

// Start opens the ports of the table that was applied last. The loops have to run.
func (s *Services) Start() []route.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = true
	if v := s.current.Load(); v != nil {
		return s.sync(v)
	}
	return nil
}

// Stop closes all ports. TCP sessions go on; flows of UDP end.
func (s *Services) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = false
	s.sync(&view{})
	return s.udp.stop()
}

// Open returns how many TCP sessions there are.
func (s *Services) Open() int { return int(s.open.Load()) }

// sync makes what is open what the view has.
func (s *Services) sync(v *view) (problems []route.Problem) {
	for port := range s.bound {
		if v.tcp[port] == nil {
			delete(s.bound, port)
			s.each(func(w *worker) error { w.close(port); return nil })
		}
	}
	for port, stream := range v.tcp {
		if _, ok := s.bound[port]; ok {
			continue
		}
		if err := s.each(func(w *worker) error { return w.listen(port) }); err != nil {
			s.each(func(w *worker) error { w.close(port); return nil })
			problems = append(problems, problem(stream, err))
			continue
		}
		s.bound[port] = struct{}{}
	}
	return append(problems, s.udp.sync(s, v)...)
}

func problem(s *route.Stream, err error) route.Problem {
	return route.Problem{
		Kind: "Service", Ref: s.Backend.Key.Service, Reason: route.ReasonStream,
		Message: fmt.Sprintf("port %d/%s of the entry cannot be opened: %v; use another port, or end what uses it", s.Port, s.Protocol, err),
	}
}

// each runs f on each loop, and waits for all.
func (s *Services) each(f func(*worker) error) error {
	results := make(chan error, len(s.workers))
	for _, w := range s.workers {
		w.loop.Post(func() { results <- f(w) })
	}
	var all []error
	for range s.workers {
		all = append(all, <-results)
	}
	return errors.Join(all...)
}

func (w *worker) listen(port uint16) error {
	for _, a := range w.services.config.Addresses {
		l, err := w.loop.Listen(netip.AddrPortFrom(a, port), loop.ListenConfig{}, func(t *loop.Task, c *loop.Conn) { w.serve(t, c, port) })
		if err != nil {
			return err
		}
		w.ports[port] = append(w.ports[port], l)
	}
	return nil
}

func (w *worker) close(port uint16) {
	for _, l := range w.ports[port] {
		_ = l.Close() // it is open
	}
	delete(w.ports, port)
}

// serve carries one connection.
func (w *worker) serve(t *loop.Task, c *loop.Conn, port uint16) {
	v := w.services.current.Load()
	stream := v.tcp[port]
	if stream == nil {
		return // the port is about to close
	}
	w.services.open.Add(1)
	defer w.services.open.Add(-1)
	report := Report{Port: port, Client: c.Remote(), Local: c.Local()}
	begun := t.Loop().Now()
	if stream.ProxyIn {
		report.Err = w.introduce(c, v, &report)
	}
	if report.Err == nil {
		report.Result = w.carrier.Carry(t, &Session{
			Conn: c, Backend: stream.Backend, Pool: v.table.Pool(stream.Backend), Settings: &v.table.Global.Stream,
			Client: report.Client, Local: report.Local, ProxyOut: stream.ProxyOut,
		})
	}
	report.Took = t.Loop().Now().Sub(begun)
	if w.services.config.Ended != nil {
		w.services.config.Ended(&report)
	}
}

// introduce reads what PROXY protocol says about the client.
func (w *worker) introduce(c *loop.Conn, v *view, report *Report) error {
	real := &v.table.Global.RealIP
	h, err := proxyproto.Read(c, w.loop.Now().Add(real.ProxyTimeout))
	if err != nil {
		return fmt.Errorf("PROXY protocol from %s: %w", c.Remote(), err)
	}
	if h.Source.IsValid() && Trusted(c.Remote().Addr(), real.Trusted) {
		report.Client, report.Local = h.Source, h.Destination
	}
	return nil
}

// Trusted says whether an address is in one of the prefixes. Without prefixes all are.
func Trusted(a netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return len(prefixes) == 0
}
