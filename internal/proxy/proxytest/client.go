package proxytest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab/guest"
	"github.com/switchyard-net/switchyard/internal/lab/sctp"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// answerPatience is how long a client waits for an answer that is expected: only a broken backend takes it.
const answerPatience = 15 * time.Second

// silencePatience is how long a client listens for an answer that must not come. In a guest, those that come are slow.
func silencePatience() time.Duration {
	if guest.Inside() {
		return time.Second
	}
	return 250 * time.Millisecond
}

// outcome is what a client saw of one connection or datagram.
type outcome struct {
	// server and source are what the server said: its name, and the client's address as it saw it.
	server  string
	source  netip.Addr
	refused bool  // ICMP port unreachable, a TCP reset, or an SCTP abort
	silent  bool  // nothing within the client's patience
	err     error // anything else
}

func (o outcome) String() string {
	switch {
	case o.refused:
		return "refused"
	case o.silent:
		return "no answer"
	case o.err != nil:
		return o.err.Error()
	}
	return fmt.Sprintf("answered by %s, who saw %s", o.server, o.source)
}

// clientPorts gives every connection of a run a source port of its own, so that none meets what conntrack remembers of
// an earlier one.
type clientPorts struct{ last atomic.Uint32 }

func newClientPorts() *clientPorts { return &clientPorts{} }

func (c *clientPorts) next() uint16 { return uint16(10000 + c.last.Add(1)%55000) }

// connect sends a packet for real and returns what comes of it.
func (n *network) connect(host string, pkt plan.Packet, patience time.Duration) outcome {
	conn, out := n.open(host, pkt, patience)
	if conn == nil {
		return out
	}
	defer conn.Close()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // no TIME-WAIT; the connection works all the same if this fails
	}
	return out
}

// open connects, and leaves the connection open if it is answered.
func (n *network) open(host string, pkt plan.Packet, patience time.Duration) (net.Conn, outcome) {
	for {
		conn, err := n.dial(host, pkt, patience)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue // the port was taken by a server; the next attempt has another
		}
		if err != nil {
			return nil, failure(err)
		}
		out := hear(conn, pkt.Protocol, patience)
		if out.server == "" {
			conn.Close()
			return nil, out
		}
		return conn, out
	}
}

func (n *network) dial(host string, pkt plan.Packet, patience time.Duration) (conn net.Conn, err error) {
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	from := netip.AddrPortFrom(pkt.From, n.ports.next())
	ns := n.namespaces[host]
	if pkt.Protocol == model.SCTP {
		return sctp.Dial(ctx, ns, from, pkt.To)
	}
	err = ns.Do(func() error {
		var dialer net.Dialer
		if pkt.Protocol == model.TCP {
			dialer.LocalAddr = net.TCPAddrFromAddrPort(from)
			conn, err = dialer.DialContext(ctx, "tcp", pkt.To.String())
		} else {
			dialer.LocalAddr = net.UDPAddrFromAddrPort(from)
			conn, err = dialer.DialContext(ctx, "udp", pkt.To.String())
		}
		return err
	})
	return conn, err
}

// hear returns what the server says. A datagram has to be sent first.
func hear(conn net.Conn, protocol model.Protocol, patience time.Duration) outcome {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return outcome{err: err}
	}
	if protocol == model.UDP {
		// The kernel refuses to send what an output rule drops or rejects; which of the two, the next read tells.
		if _, err := conn.Write([]byte("?")); err != nil && !errors.Is(err, syscall.EPERM) {
			return failure(err)
		}
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return failure(err)
	}
	var out outcome
	name, source, _ := strings.Cut(strings.TrimSpace(line), " ")
	out.server = name
	out.source, out.err = netip.ParseAddr(source)
	return out
}

func failure(err error) outcome {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return outcome{refused: true}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return outcome{silent: true}
	}
	return outcome{err: err}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
