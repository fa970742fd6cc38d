package relay

import (
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Client is who opened a connection, or sent the first datagram of a flow.
type Client struct {
	// UDP is false for TCP.
	UDP bool
	// Source is the client's address, Destination the one that it sent to.
	Source, Destination netip.AddrPort
	// Class is that of the listener it came by.
	Class int
}

// Target is a server for a client.
type Target struct {
	Endpoint netip.AddrPort
	// Source is the address that the server is to see; the zero Addr: one of this host's.
	Source netip.Addr
}

// Router decides where clients go. Its methods are called by all workers at once and must not block.
type Router interface {
	// Next returns a server for a client, other than those that were tried for it before. false: there is none (left),
	// and the client's connection is cut.
	Next(c Client, tried []netip.AddrPort) (Target, bool)
	// Failed says that a server could not be connected to, within the time.
	Failed(endpoint netip.AddrPort, udp bool, reason error)
	// Connected says that a server accepted a TCP connection, Heard that its first byte came.
	Connected(endpoint netip.AddrPort)
	Heard(endpoint netip.AddrPort)
	// Silent says that a server has not sent a byte in the first second after it was sent some.
	Silent(endpoint netip.AddrPort)
	// Serves reports whether the server is still one for that client: flows to others end.
	Serves(c Client, endpoint netip.AddrPort) bool
}

// Config says how a Relay works; New fills in the defaults of zero fields.
type Config struct {
	// Workers is the number of threads, default GOMAXPROCS.
	Workers int
	// ConnectTimeout is how long a server may take to accept a connection, default 1 s.
	ConnectTimeout time.Duration
	// MaxFlows is how many UDP flows are remembered, default 32768; beyond, the one that was quiet for longest ends.
	MaxFlows int
	// FlowTimeout is how long a UDP flow may be quiet, default 2 min; a quarter of it where it was a question and an
	// answer only.
	FlowTimeout time.Duration
	// AnswerMark is the mark of the packets that answer UDP clients, for packet rules to know them by; 0: none.
	AnswerMark uint32
}

func (c Config) withDefaults() Config {
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = time.Second
	}
	if c.MaxFlows <= 0 {
		c.MaxFlows = 32768
	}
	if c.FlowTimeout <= 0 {
		c.FlowTimeout = 2 * time.Minute
	}
	return c
}

// Stats are counts since the start, but for the two of what is open now.
type Stats struct {
	Connections, Flows                 int64 // open now
	Accepted, Refused, Retried, Failed int64 // Refused: no server was left; Retried: another server was tried
	BytesUp, BytesDown                 int64 // of TCP: from clients, from servers
	Datagrams, DatagramsLost           int64 // of UDP; Lost: those that had nowhere to go
	AcceptPauses                       int64 // times that the process was out of file descriptors or memory
}

// counters are Stats as they are counted.
type counters struct {
	connections, flows, accepted, refused, retried, failed atomic.Int64
	up, down, datagrams, lost, pauses                      atomic.Int64
}

// Relay is a running set of workers.
type Relay struct {
	config   Config
	router   Router
	workers  []*worker
	counters counters
	running  sync.WaitGroup
}

// New starts the workers, in the network namespace of the calling thread.
func New(cfg Config, router Router) (*Relay, error) {
	ns, err := CurrentNamespace()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	r := &Relay{config: cfg.withDefaults(), router: router}
	for range r.config.Workers {
		w, err := newWorker(r)
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		r.workers = append(r.workers, w)
		started := make(chan error)
		r.running.Go(func() { w.run(ns, started) })
		if err := <-started; err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// Close cuts all connections and ends the workers. Listeners stay open: they are the caller's.
func (r *Relay) Close() error {
	for _, w := range r.workers {
		w.post(func() { w.stopped = true })
	}
	r.running.Wait()
	return nil
}

// Accept has the workers take connections from a listener, and datagrams if it is of UDP, which are of a class.
func (r *Relay) Accept(l *Listener, class int) {
	for _, w := range r.workers {
		w.do(func() { w.listen(l, class) })
		if l.udp {
			return // a flow is known to one worker only
		}
	}
}

// Leave has the workers take no more from a listener. It returns when none does.
func (r *Relay) Leave(l *Listener) {
	for _, w := range r.workers {
		w.do(func() { w.leave(l) })
		if l.udp {
			return
		}
	}
}

// Revalidate ends the UDP flows whose servers the Router does not give their clients any more. When it returns, no
// datagram goes to them.
func (r *Relay) Revalidate() { r.workers[0].do(r.workers[0].revalidate) }

// Stats returns the counts.
func (r *Relay) Stats() Stats {
	c := &r.counters
	return Stats{
		Connections: c.connections.Load(), Flows: c.flows.Load(), Accepted: c.accepted.Load(), Refused: c.refused.Load(),
		Retried: c.retried.Load(), Failed: c.failed.Load(), BytesUp: c.up.Load(), BytesDown: c.down.Load(),
		Datagrams: c.datagrams.Load(), DatagramsLost: c.lost.Load(), AcceptPauses: c.pauses.Load(),
	}
}
