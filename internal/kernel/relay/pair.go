package relay

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxTries bounds the servers that are tried for one connection.
	maxTries = 16
	// silence is how long a server may take to answer the first bytes before the Router is told.
	silence = time.Second
)

// side is one socket of a connection.
type side struct {
	pair *pair
	fd   int // -1: none
	// readable and writable say that it was so when last heard of; the kernel tells of changes only.
	readable, writable bool
	// ending is true where the connection is about to end, so that reading must go on until it does; fin where all that
	// will ever come has come.
	ending, fin bool
	// registered says that the kernel tells of changes at all, watched that it tells (or will) of becoming writable.
	registered, watched bool
}

// pair is a client's connection with that to its server.
type pair struct {
	c              Client
	tried          []netip.AddrPort // the last one is the server's
	client, server side
	up, down       stream
	timer          queued[*pair]
	connected      bool
	asked, heard   bool // bytes went to the server, or came from it
	queued         bool // is among the worker's ready
	closed         bool
}

func (p *pair) endpoint() netip.AddrPort { return p.tried[len(p.tried)-1] }

// next connects to a server that was not tried yet.
func (p *pair) next(w *worker) {
	for len(p.tried) < maxTries {
		t, ok := w.relay.router.Next(p.c, p.tried)
		if !ok {
			break
		}
		if len(p.tried) > 0 {
			w.relay.counters.retried.Add(1)
		}
		p.tried = append(p.tried, t.Endpoint)
		fd, err := openTo(t, unix.SOCK_STREAM)
		if err == nil {
			p.server = side{pair: p, fd: fd, watched: true}
			err = p.server.register(w)
		}
		if err == nil {
			w.connecting.push(&p.timer, w.now)
			return
		}
		p.closeServer(w)
		w.relay.router.Failed(t.Endpoint, false, err)
	}
	w.relay.counters.refused.Add(1)
	p.abort(w)
}

func (p *pair) closeServer(w *worker) {
	if p.server.fd >= 0 {
		w.closeFD(p.server.fd)
		p.server.fd = -1
	}
}

// failed goes on to the next server.
func (p *pair) failed(w *worker, reason error) {
	p.timer.remove()
	w.relay.counters.failed.Add(1)
	w.relay.router.Failed(p.endpoint(), false, reason)
	p.closeServer(w)
	p.next(w)
}

// event of either socket.
func (s *side) event(w *worker, events uint32) {
	if !s.pair.connected {
		s.pair.connecting(w, events)
		return
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.ending, s.readable = true, true
		s.fin = events&(unix.EPOLLHUP|unix.EPOLLERR) == 0
	}
	s.readable = s.readable || events&unix.EPOLLIN != 0
	s.writable = s.writable || events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0
	s.pair.pump(w)
}

// connecting learns what became of the connection to the server.
func (p *pair) connecting(w *worker, events uint32) {
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		err := socketError(p.server.fd)
		if err == nil {
			err = unix.ECONNRESET
		}
		p.failed(w, err)
		return
	}
	if events&unix.EPOLLOUT == 0 {
		return
	}
	p.connected = true
	w.relay.router.Connected(p.endpoint())
	w.young.push(&p.timer, w.now)
	// Most clients have said something by now, which need not wait for the next round.
	p.client.readable, p.client.writable = true, true
	p.server.event(w, events)
	if !p.closed && p.client.register(w) != nil {
		p.abort(w)
	}
}

// The events that sockets are watched for: all that have to do with receiving, and where need be with sending.
const (
	receiving = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET
	both      = receiving | unix.EPOLLOUT
)

func (s *side) register(w *worker) error {
	s.registered = true
	if s.watched {
		return w.add(s.fd, both, s)
	}
	return w.add(s.fd, receiving, s)
}

// block notes that a socket takes no more, and has the kernel tell when it does.
func (s *side) block(w *worker) error {
	s.writable = false
	if s.watched {
		return nil
	}
	s.watched = true
	if !s.registered {
		return nil
	}
	return w.change(s.fd, both)
}

// pump carries all bytes that can be carried now, or as many as there are in a turn.
func (p *pair) pump(w *worker) {
	upMore, err := p.up.carry(w)
	if err != nil {
		p.abort(w)
		return
	}
	downMore, err := p.down.carry(w)
	if err != nil {
		p.abort(w)
		return
	}
	p.count(w)
	switch {
	case p.up.finished && p.down.finished:
		p.close(w)
	case (upMore || downMore) && !p.queued:
		p.queued = true
		w.ready = append(w.ready, p)
	}
}

// count adds up what was carried, and has the server watched while it owes its first byte.
func (p *pair) count(w *worker) {
	if n := p.up.carried; n > 0 {
		w.relay.counters.up.Add(n)
		p.up.carried = 0
		if !p.asked && !p.heard {
			w.young.push(&p.timer, w.now)
		}
		p.asked = true
	}
	if n := p.down.carried; n > 0 {
		w.relay.counters.down.Add(n)
		p.down.carried = 0
		if !p.heard {
			w.relay.router.Heard(p.endpoint())
		}
		p.heard = true
	}
}

// cameOfAge is called a second after the connection was made, or after the server was first sent something.
func (p *pair) cameOfAge(w *worker) {
	keepAlive(p.server.fd)
	if p.asked && !p.heard && !p.down.ended {
		w.relay.router.Silent(p.endpoint())
	}
}

// abort cuts both connections.
func (p *pair) abort(w *worker) {
	if !p.closed {
		for _, fd := range []int{p.client.fd, p.server.fd} {
			if fd >= 0 {
				reset(fd)
			}
		}
	}
	p.close(w)
}

// close closes both connections, in the ordinary way unless abort says otherwise.
func (p *pair) close(w *worker) {
	if p.closed {
		return
	}
	p.closed, p.queued = true, false
	p.timer.remove()
	p.up.release(w)
	p.down.release(w)
	p.closeServer(w)
	if p.client.registered {
		w.forget(p.client.fd)
	}
	closeFD(p.client.fd)
	w.relay.counters.connections.Add(-1)
}
