package relay

import (
	"time"

	"golang.org/x/sys/unix"
)

// acceptBatch is how many connections are accepted in a turn.
const acceptBatch = 64

// acceptor takes connections from a listener.
type acceptor struct {
	listener *Listener
	class    int
}

// listen begins to take connections, or datagrams, from a listener.
func (w *worker) listen(l *Listener, class int) {
	if l.udp {
		// The registration of a listener's own socket cannot fail but for lack of memory.
		_ = w.add(l.fd, unix.EPOLLIN, &datagrams{fd: l.fd, class: class})
		return
	}
	(&acceptor{l, class}).watch(w)
}

// watch wakes one of the workers for a connection.
func (a *acceptor) watch(w *worker) {
	if w.add(a.listener.fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE, a) != nil {
		w.pause(a)
	}
}

// leave takes no more from a listener.
func (w *worker) leave(l *Listener) {
	for i, a := range w.paused {
		if a.listener == l {
			w.paused = append(w.paused[:i], w.paused[i+1:]...)
			return
		}
	}
	w.unwatch(l.fd)
}

func (w *worker) unwatch(fd int) {
	if fd >= len(w.handlers) || w.handlers[fd].handler == nil {
		return
	}
	w.forget(fd)
	_ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, fd, nil)
}

// pause takes no connections for a while.
func (w *worker) pause(a *acceptor) {
	w.unwatch(a.listener.fd)
	w.paused = append(w.paused, a)
	w.resumeAt = time.Now().Add(acceptPause)
	w.relay.counters.pauses.Add(1)
}

// event accepts what waits.
func (a *acceptor) event(w *worker, _ uint32) {
	for range acceptBatch {
		fd, from, errno := accept(a.listener.fd)
		switch errno {
		case 0:
			w.begin(fd, Client{Source: from, Class: a.class})
		case unix.EAGAIN:
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			w.pause(a)
			return
		}
		// Other errors are those of a connection that was cut before it was accepted.
	}
}

// begin looks for a server for a connection.
func (w *worker) begin(fd int, c Client) {
	var err error
	if c.Destination, err = localAddr(fd); err != nil {
		closeFD(fd)
		return
	}
	w.relay.counters.accepted.Add(1)
	w.relay.counters.connections.Add(1)
	p := &pair{c: c}
	p.client, p.server = side{pair: p, fd: fd}, side{pair: p, fd: -1}
	p.up, p.down = stream{from: &p.client, to: &p.server, other: &p.down}, stream{from: &p.server, to: &p.client, other: &p.up}
	p.timer.value = p
	p.next(w)
}
