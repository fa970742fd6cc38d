package podnet

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// udpIdle is how long a client's port is remembered without a datagram: the kernel's own timeout for UDP streams
// (net.netfilter.nf_conntrack_udp_timeout_stream).
const udpIdle = 120 * time.Second

// maxDatagram is the largest UDP payload in bytes.
const maxDatagram = 65507

// udpSessions are the sockets towards the pod, one for each client address, so that answers find their way back.
type udpSessions struct {
	front  *net.UDPConn
	target netip.AddrPort

	mu   sync.Mutex
	open map[netip.AddrPort]*net.UDPConn
	wg   sync.WaitGroup
}

// relayUDP serves until front is closed.
func relayUDP(ctx context.Context, front *net.UDPConn, target netip.AddrPort) {
	s := &udpSessions{front: front, target: target, open: map[netip.AddrPort]*net.UDPConn{}}
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	defer s.wg.Wait()
	defer s.close()
	buf := make([]byte, maxDatagram)
	for {
		n, client, err := front.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			continue // an ICMP error for an answer that nobody waited for
		}
		if pod := s.session(client); pod != nil {
			_, _ = pod.Write(buf[:n]) // datagrams may be lost
		}
	}
}

// session returns the socket for a client; nil if the node has no more sockets.
func (s *udpSessions) session(client netip.AddrPort) *net.UDPConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if conn, ok := s.open[client]; ok {
		return conn
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.target))
	if err != nil {
		return nil
	}
	s.open[client] = conn
	s.wg.Go(func() { s.answer(client, conn) })
	return conn
}

// answer passes the pod's datagrams back until there are none for a while.
func (s *udpSessions) answer(client netip.AddrPort, conn *net.UDPConn) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, client)
		_ = conn.Close()
	}()
	buf := make([]byte, maxDatagram)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(udpIdle)); err != nil {
			return
		}
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		_, _ = s.front.WriteToUDPAddrPort(buf[:n], client)
	}
}

func (s *udpSessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.open {
		_ = conn.Close()
	}
}
