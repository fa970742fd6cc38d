package podnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
)

// Protocols of a HostPort.
const (
	TCP  = "TCP"
	UDP  = "UDP"
	SCTP = "SCTP"
)

// HostPort is a port of the node that leads to one of a pod.
type HostPort struct {
	Protocol string
	HostIP   netip.Addr // the zero Addr and 0.0.0.0 are every address of the node
	HostPort uint16
	PodPort  uint16
}

// ErrSCTP says that a host port cannot be SCTP.
var ErrSCTP = errors.New("SCTP host ports are not supported here: use a NodePort Service")

// Relay listens on a pod's host ports and passes on what arrives. It is a program, not a rule in the kernel: the pod sees
// the gateway as the client, the port is taken as far as other programs of the node are concerned, and two pods may have
// the same number if address or protocol differ.
type Relay struct {
	closers []io.Closer
	wg      sync.WaitGroup
	cancel  context.CancelFunc
}

// OpenRelay listens, in the node's namespace, on all the ports, or on none of them if one is not free.
func OpenRelay(ports []HostPort, pod []netip.Addr) (*Relay, error) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Relay{cancel: cancel}
	for _, p := range ports {
		if err := r.open(ctx, p, pod); err != nil {
			r.Close()
			return nil, fmt.Errorf("host port %d/%s: %w", p.HostPort, p.Protocol, err)
		}
	}
	return r, nil
}

// open listens for each IP family that the pod and the host address have.
func (r *Relay) open(ctx context.Context, p HostPort, pod []netip.Addr) error {
	if p.Protocol == SCTP {
		return ErrSCTP
	}
	listening := false
	for _, addr := range pod {
		listen := netip.AddrPortFrom(p.HostIP, p.HostPort)
		if !p.HostIP.IsValid() || p.HostIP.IsUnspecified() {
			listen = netip.AddrPortFrom(unspecified(addr), p.HostPort)
		}
		if listen.Addr().Is4() != addr.Is4() {
			continue
		}
		target := netip.AddrPortFrom(addr, p.PodPort)
		if err := r.listen(ctx, p.Protocol, listen, target); err != nil {
			return err
		}
		listening = true
	}
	if !listening {
		return fmt.Errorf("the pod has no address of the IP family of hostIP %s", p.HostIP)
	}
	return nil
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func (r *Relay) listen(ctx context.Context, protocol string, listen, target netip.AddrPort) error {
	family := "4"
	if listen.Addr().Is6() {
		family = "6"
	}
	if protocol == UDP {
		conn, err := net.ListenUDP("udp"+family, net.UDPAddrFromAddrPort(listen))
		if err != nil {
			return err
		}
		r.closers = append(r.closers, conn)
		r.wg.Go(func() { relayUDP(ctx, conn, target) })
		return nil
	}
	listener, err := net.ListenTCP("tcp"+family, net.TCPAddrFromAddrPort(listen))
	if err != nil {
		return err
	}
	r.closers = append(r.closers, listener)
	r.wg.Go(func() { relayTCP(ctx, listener, target) })
	return nil
}

// Close stops listening and cuts what is under way.
func (r *Relay) Close() {
	r.cancel()
	for _, c := range r.closers {
		_ = c.Close()
	}
	r.wg.Wait()
}

// relayTCP serves until the listener is closed, and returns when the last connection has ended.
func relayTCP(ctx context.Context, listener *net.TCPListener, target netip.AddrPort) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		client, err := listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the client went away before it was accepted
		}
		wg.Go(func() { relayConn(ctx, client, target) })
	}
}

func relayConn(ctx context.Context, client *net.TCPConn, target netip.AddrPort) {
	defer client.Close()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", target.String())
	if err != nil {
		_ = client.SetLinger(0) // nobody listens: the client gets a reset, as it would from the pod
		return
	}
	pod := conn.(*net.TCPConn)
	defer pod.Close()
	stop := context.AfterFunc(ctx, func() { _ = client.Close(); _ = pod.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { copyHalf(pod, client) })
	wg.Go(func() { copyHalf(client, pod) })
	wg.Wait()
}

// copyHalf copies one direction and passes its end on; the other direction goes on.
func copyHalf(to, from *net.TCPConn) {
	_, _ = io.Copy(to, from) // an error ends the direction like its end does
	_ = to.CloseWrite()
}
