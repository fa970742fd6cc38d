package relay

import (
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// datagramBatch is how many datagrams are taken from a socket in a turn.
	datagramBatch = 64
	// keptDatagram is how long the first datagram of a flow may be to be sent again where the first server refuses.
	keptDatagram = 2048
	// streamDatagrams is from how many datagrams of a client on a flow is more than a question and its answer.
	streamDatagrams = 3
	// shortFlows is how much sooner other flows end.
	shortFlows = 4
	// lastAnswers is how long a server that is none any more may answer what it was asked before.
	lastAnswers = 2 * time.Second
)

// datagrams takes datagrams from a listener.
type datagrams struct {
	fd    int
	class int
}

// flowKey is who sends to what.
type flowKey struct{ client, destination netip.AddrPort }

// flow is a client's way to a server, and a socket towards the server.
type flow struct {
	c     Client
	tried []netip.AddrPort // the last one is the server's
	fd    int
	first []byte // the first datagram, while there is no answer
	count int    // datagrams of the client
	quiet queued[*flow]
}

// flows is what a worker knows of UDP.
type flows struct {
	byKey          map[flowKey]*flow
	answers        answerer
	short, streams queue[*flow]
	leaving        queue[*flow] // not in byKey any more
	count          int
}

func newFlows() flows {
	return flows{byKey: map[flowKey]*flow{}, answers: newAnswerer()}
}

func (f *flows) wake(sooner time.Time, timeout time.Duration) time.Time {
	return f.leaving.wake(f.streams.wake(f.short.wake(sooner, timeout/shortFlows), timeout), lastAnswers)
}

// event takes the datagrams that wait.
func (d *datagrams) event(w *worker, _ uint32) {
	for range datagramBatch {
		n, client, destination, errno := receive(d.fd, w.buffer)
		if errno == unix.EAGAIN {
			return
		}
		if errno != 0 || !client.IsValid() || !destination.IsValid() {
			continue
		}
		w.datagram(Client{UDP: true, Source: client, Destination: destination, Class: d.class}, w.buffer[:n])
	}
}

// datagram sends a client's datagram on its way.
func (w *worker) datagram(c Client, data []byte) {
	w.relay.counters.datagrams.Add(1)
	f := w.udp.byKey[flowKey{c.Source, c.Destination}]
	if f == nil {
		if f = w.newFlow(c); f == nil {
			w.relay.counters.lost.Add(1)
			return
		}
		if len(data) <= keptDatagram {
			f.first = append([]byte(nil), data...)
		}
	} else {
		f.c.Class = c.Class
	}
	f.count++
	f.touch(w)
	f.send(w, data)
}

// touch puts off the flow's end.
func (f *flow) touch(w *worker) {
	if f.quiet.in == &w.udp.leaving {
		return
	}
	if f.count >= streamDatagrams {
		w.udp.streams.push(&f.quiet, w.now)
	} else {
		w.udp.short.push(&f.quiet, w.now)
	}
}

// newFlow returns a flow to a server, nil if there is none.
func (w *worker) newFlow(c Client) *flow {
	if w.udp.count >= w.relay.config.MaxFlows {
		w.evict()
	}
	f := &flow{c: c, fd: -1}
	f.quiet.value = f
	w.udp.byKey[flowKey{c.Source, c.Destination}] = f
	w.udp.count++
	w.relay.counters.flows.Add(1)
	if !f.next(w) {
		f.end(w)
		return nil
	}
	return f
}

// next connects to a server that was not tried yet.
func (f *flow) next(w *worker) bool {
	for len(f.tried) < maxTries {
		t, ok := w.relay.router.Next(f.c, f.tried)
		if !ok {
			break
		}
		if len(f.tried) > 0 {
			w.relay.counters.retried.Add(1)
		}
		f.tried = append(f.tried, t.Endpoint)
		fd, err := openTo(t, unix.SOCK_DGRAM)
		if err == nil {
			f.fd = fd
			err = w.add(fd, unix.EPOLLIN, f)
		}
		if err == nil {
			return true
		}
		f.closeServer(w)
		w.relay.router.Failed(t.Endpoint, true, err)
	}
	return false
}

func (f *flow) closeServer(w *worker) {
	if f.fd >= 0 {
		w.closeFD(f.fd)
		f.fd = -1
	}
}

// send sends a datagram to the server. Errors are those of datagrams before, which the server refused.
func (f *flow) send(w *worker, data []byte) {
	for range 2 {
		switch _, errno := write(f.fd, data); errno {
		case 0, unix.EAGAIN, unix.EMSGSIZE:
			return
		case unix.EINTR:
		default:
			if !f.refused(w, errno) {
				return
			}
		}
	}
}

// refused goes on to another server; if there is none, the flow ends, and the client's next datagram makes a new one.
func (f *flow) refused(w *worker, reason error) bool {
	w.relay.counters.failed.Add(1)
	w.relay.router.Failed(f.tried[len(f.tried)-1], true, reason)
	f.closeServer(w)
	if f.first == nil || !f.next(w) {
		w.relay.counters.lost.Add(1)
		f.end(w)
		return false
	}
	return true
}

// event brings the server's answers to the client.
func (f *flow) event(w *worker, _ uint32) {
	for range datagramBatch {
		n, errno := read(f.fd, w.buffer[udpHeader:])
		switch errno {
		case 0:
		case unix.EAGAIN, unix.EINTR:
			return
		default:
			first := f.first
			if f.refused(w, errno) {
				f.send(w, first)
			}
			return
		}
		f.first = nil
		f.touch(w)
		w.relay.counters.datagrams.Add(1)
		if w.udp.answers.send(w.buffer[:udpHeader+n], f.c.Destination, f.c.Source, w.relay.config.AnswerMark) != nil {
			w.relay.counters.lost.Add(1)
		}
	}
}

// end forgets a flow.
func (f *flow) end(w *worker) {
	f.quiet.remove()
	f.closeServer(w)
	if key := (flowKey{f.c.Source, f.c.Destination}); w.udp.byKey[key] == f {
		delete(w.udp.byKey, key)
	}
	w.udp.count--
	w.relay.counters.flows.Add(-1)
}

// evict ends the flow that was quiet for longest, of those that are no streams first.
func (w *worker) evict() {
	for _, q := range []*queue[*flow]{&w.udp.leaving, &w.udp.short, &w.udp.streams} {
		if q.first != nil {
			q.first.value.end(w)
			return
		}
	}
}

// expireFlows ends the flows that were quiet for long.
func (w *worker) expireFlows() {
	timeout := w.relay.config.FlowTimeout
	for {
		f, ok := w.udp.short.due(w.now, timeout/shortFlows)
		if !ok {
			break
		}
		f.end(w)
	}
	for {
		f, ok := w.udp.streams.due(w.now, timeout)
		if !ok {
			break
		}
		f.end(w)
	}
	for {
		f, ok := w.udp.leaving.due(w.now, lastAnswers)
		if !ok {
			break
		}
		f.end(w)
	}
}

// revalidate ends flows to servers that are none any more: the client's next datagram goes elsewhere, answers to those
// before still arrive.
func (w *worker) revalidate() {
	for key, f := range w.udp.byKey {
		if !w.relay.router.Serves(f.c, f.tried[len(f.tried)-1]) {
			delete(w.udp.byKey, key)
			f.first = nil
			w.udp.leaving.push(&f.quiet, w.now)
		}
	}
}

// receive reads a datagram, with its sender and, of a listener, the address that it was sent to.
func receive(fd int, buf []byte) (n int, from, to netip.AddrPort, errno unix.Errno) {
	var name sockaddr
	var control [64]byte
	vector := unix.Iovec{Base: &buf[0], Len: uint64(len(buf))}
	message := unix.Msghdr{
		Name: &name.raw[0], Namelen: uint32(len(name.raw)), Iov: &vector, Iovlen: 1,
		Control: &control[0], Controllen: uint64(len(control)),
	}
	got, _, e := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&message)), unix.MSG_DONTWAIT)
	if e != 0 {
		return 0, from, to, e
	}
	name.len = message.Namelen
	return int(got), name.addrPort(), originalDestination(control[:message.Controllen]), 0
}

// originalDestination reads the control messages of a datagram (IP_RECVORIGDSTADDR); the zero AddrPort if none of them
// says.
func originalDestination(control []byte) netip.AddrPort {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return netip.AddrPort{}
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_ORIGDSTADDR
		v6 := m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_ORIGDSTADDR
		if v4 || v6 {
			return addrPort(m.Data)
		}
	}
	return netip.AddrPort{}
}
