package http2

import (
	"net"
	"net/netip"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// Key is what connections to servers are shared by: the address, and in what way the server is spoken to.
type Key struct {
	Addr netip.AddrPort
	// Way tells connections to one address apart, such as by their TLS settings. It is comparable.
	Way any
}

// Dialed is a connection that was just made: Conn is Raw, or TLS over it.
type Dialed struct {
	Raw  *loop.Conn
	Conn net.Conn
}

// Pool keeps connections to servers. It is of one loop.
type Pool struct {
	Limits Limits
	routes map[Key]*route
}

// route is the connections of one key.
type route struct {
	clients []*Client
	dialing bool
	waiting []*waiter
	err     error // of the last dial, if it has failed
}

// Get returns a connection that has room for one more exchange, made by dial if there is none; then the server has some time to greet,
// 0 being that of Limits.Header. Those who come while one is being made wait for it, and share its failure.
func (p *Pool) Get(t *loop.Task, key Key, patience time.Duration, dial func(*loop.Task) (Dialed, error)) (*Client, error) {
	r := p.routes[key]
	if r == nil {
		if p.routes == nil {
			p.routes = make(map[Key]*route)
		}
		r = &route{}
		p.routes[key] = r
	}
	for {
		for _, c := range r.clients {
			if c.Ready() {
				return c, nil
			}
		}
		if !r.dialing {
			return p.dial(t, key, r, patience, dial)
		}
		w := &waiter{}
		r.waiting = append(r.waiting, w)
		w.wait(t.Loop(), time.Time{})
		if !r.dialing && r.err != nil {
			return nil, r.err
		}
	}
}

func (p *Pool) dial(t *loop.Task, key Key, r *route, patience time.Duration, dial func(*loop.Task) (Dialed, error)) (*Client, error) {
	r.dialing, r.err = true, ErrClosed
	defer func() { // also after a panic
		r.dialing = false
		for _, w := range r.waiting {
			w.wake()
		}
		r.waiting = nil
		p.tidy(key, r)
	}()
	var d Dialed
	if d, r.err = dial(t); r.err != nil {
		return nil, r.err
	}
	c := NewClient(t, d.Raw, d.Conn, p.Limits, func(c *Client) { p.remove(key, c) })
	if r.err = c.settle(patience); r.err != nil {
		c.Close()
		return nil, r.err
	}
	r.clients = append(r.clients, c)
	return c, nil
}

// remove forgets a connection that has ended.
func (p *Pool) remove(key Key, c *Client) {
	r := p.routes[key]
	if r == nil {
		return
	}
	for i := range r.clients {
		if r.clients[i] == c {
			r.clients = append(r.clients[:i], r.clients[i+1:]...)
			break
		}
	}
	p.tidy(key, r)
}

func (p *Pool) tidy(key Key, r *route) {
	if len(r.clients) == 0 && !r.dialing {
		delete(p.routes, key)
	}
}

// Close ends all connections once their exchanges are done.
func (p *Pool) Close() {
	for _, r := range p.routes {
		for _, c := range r.clients {
			c.Close()
		}
	}
}

// Connections returns how many there are.
func (p *Pool) Connections() int {
	n := 0
	for _, r := range p.routes {
		n += len(r.clients)
	}
	return n
}
