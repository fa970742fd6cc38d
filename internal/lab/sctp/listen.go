package sctp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// backlog is how many associations of a listener may wait to be accepted.
const backlog = 128

// largestPacket is the longest packet that is read, in bytes.
const largestPacket = 64 << 10

// rawHost accepts associations over two raw sockets, one for each family.
type rawHost struct {
	sockets []net.PacketConn

	mu           sync.Mutex
	listeners    map[uint16]*rawListener // guarded by mu
	associations map[pair]*association   // guarded by mu
}

// pair is what identifies an association.
type pair struct{ local, remote netip.AddrPort }

// openRaw returns the host of the thread's namespace.
func openRaw() (*rawHost, error) {
	h := &rawHost{listeners: map[uint16]*rawListener{}, associations: map[pair]*association{}}
	in4, err := net.ListenPacket(fmt.Sprintf("ip4:%d", protocol), "0.0.0.0")
	if err != nil {
		return nil, err
	}
	h.sockets = append(h.sockets, in4)
	in6, err := net.ListenPacket(fmt.Sprintf("ip6:%d", protocol), "::")
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	h.sockets = append(h.sockets, in6)
	conn4, conn6 := ipv4.NewPacketConn(in4), ipv6.NewPacketConn(in6)
	if err := errors.Join(conn4.SetControlMessage(ipv4.FlagDst, true), conn6.SetControlMessage(ipv6.FlagDst, true)); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	go h.serveIPv4(conn4)
	go h.serveIPv6(conn6)
	return h, nil
}

// serveIPv4 takes packets until the socket is closed, and answers by the address that each was sent to.
func (h *rawHost) serveIPv4(conn *ipv4.PacketConn) {
	buffer := make([]byte, largestPacket)
	for {
		n, control, from, err := conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || control == nil {
			continue // an ICMP error for what was sent to somebody who has gone
		}
		h.packet(address(from), addressOf(control.Dst), buffer[:n], func(packet []byte) error {
			_, err := conn.WriteTo(packet, &ipv4.ControlMessage{Src: control.Dst}, from)
			return err
		})
	}
}

// serveIPv6 is serveIPv4 for IPv6.
func (h *rawHost) serveIPv6(conn *ipv6.PacketConn) {
	buffer := make([]byte, largestPacket)
	for {
		n, control, from, err := conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || control == nil {
			continue
		}
		h.packet(address(from), addressOf(control.Dst), buffer[:n], func(packet []byte) error {
			_, err := conn.WriteTo(packet, &ipv6.ControlMessage{Src: control.Dst}, from)
			return err
		})
	}
}

func address(a net.Addr) netip.Addr { return addressOf(a.(*net.IPAddr).IP) }

func addressOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// packet takes one packet. Those that belong to no association, and ask for none, are left to the clients of the
// namespace, who have sockets of their own.
func (h *rawHost) packet(from, to netip.Addr, packet []byte, send func([]byte) error) {
	head, chunks, err := decode(packet)
	if err != nil {
		return
	}
	p := pair{local: netip.AddrPortFrom(to, head.to), remote: netip.AddrPortFrom(from, head.from)}
	back := header{from: head.to, to: head.from}
	for _, c := range chunks {
		switch c.kind {
		case typeInit:
			h.initiate(p, back, c, send)
		case typeCookieEcho:
			h.accept(p, back, head.tag, c, send)
		default:
			h.mu.Lock()
			a := h.associations[p]
			h.mu.Unlock()
			if a != nil && a.own == head.tag {
				a.receive(c)
			}
		}
	}
}

// initiate answers an INIT: with a cookie that holds all there is to know, or with a refusal.
func (h *rawHost) initiate(p pair, back header, c chunk, send func([]byte) error) {
	peer, err := parseInitiation(c.value)
	if err != nil {
		return
	}
	back.tag = peer.tag
	h.mu.Lock()
	listening := h.listeners[p.local.Port()] != nil
	h.mu.Unlock()
	answer := chunk{kind: typeAbort}
	if listening {
		own := initiation{tag: rand.Uint32() | 1, tsn: rand.Uint32()}
		own.cookie = make([]byte, 0, 16)
		for _, word := range []uint32{own.tag, own.tsn, peer.tag, peer.tsn} {
			own.cookie = binary.BigEndian.AppendUint32(own.cookie, word)
		}
		answer = own.chunk(typeInitAck)
	}
	// An answer that cannot be sent is like one that was lost.
	_ = send(encode(back, answer))
}

// accept makes the association of a cookie, unless there is one, and tells the peer.
func (h *rawHost) accept(p pair, back header, tag uint32, c chunk, send func([]byte) error) {
	if len(c.value) != 16 || binary.BigEndian.Uint32(c.value) != tag {
		return
	}
	own := initiation{tag: tag, tsn: binary.BigEndian.Uint32(c.value[4:])}
	peer := initiation{tag: binary.BigEndian.Uint32(c.value[8:]), tsn: binary.BigEndian.Uint32(c.value[12:])}
	back.tag = peer.tag
	h.mu.Lock()
	listener, a := h.listeners[p.local.Port()], h.associations[p]
	if listener == nil {
		h.mu.Unlock()
		_ = send(encode(back, chunk{kind: typeAbort}))
		return
	}
	fresh := a == nil || a.tag != peer.tag
	if fresh {
		a = newAssociation(p.local, p.remote, own, peer, send)
		a.released = func() { h.forget(p, a) }
		h.associations[p] = a
	}
	h.mu.Unlock()
	// The peer expects this before any data.
	_ = send(encode(back, chunk{kind: typeCookieAck}))
	if fresh {
		select {
		case listener.waiting <- a:
		default: // the peer will find that nobody speaks
		}
	}
}

func (h *rawHost) forget(p pair, a *association) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.associations[p] == a {
		delete(h.associations, p)
	}
}

// Close closes the sockets, and ends what runs over them.
func (h *rawHost) Close() error {
	var errs []error
	for _, s := range h.sockets {
		errs = append(errs, s.Close())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.associations {
		a.mu.Lock()
		a.end(net.ErrClosed)
		a.mu.Unlock()
	}
	return errors.Join(errs...)
}

// listen accepts associations at a port.
func (h *rawHost) listen(port uint16) (net.Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners[port] != nil {
		return nil, fmt.Errorf("listen on SCTP port %d: %w", port, syscall.EADDRINUSE)
	}
	l := &rawListener{host: h, port: port, waiting: make(chan *association, backlog), closed: make(chan struct{})}
	h.listeners[port] = l
	return l, nil
}

// rawListener implements net.Listener.
type rawListener struct {
	host    *rawHost
	port    uint16
	waiting chan *association
	closed  chan struct{}
	once    sync.Once
}

// Accept implements net.Listener.
func (l *rawListener) Accept() (net.Conn, error) {
	select {
	case a := <-l.waiting:
		return a, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *rawListener) Close() error {
	l.once.Do(func() {
		l.host.mu.Lock()
		delete(l.host.listeners, l.port)
		l.host.mu.Unlock()
		close(l.closed)
	})
	return nil
}

// Addr implements net.Listener.
func (l *rawListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv6unspecified, Port: int(l.port)}
}
