package proxytest

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/sctp"
)

// serve starts the servers of all hosts. They end when their sockets are closed with the test.
func (n *network) serve(ports []uint16) {
	for _, h := range hosts() {
		ns := n.namespaces[h.name]
		if h.name == "client-2" {
			continue
		}
		all := []uint16{portA, portB}
		if h.node == "" && h.name != "client" {
			all = append(all, ports...)
		}
		associations, err := sctp.Open(ns)
		n.must(err)
		n.t.Cleanup(func() { associations.Close() })
		slices.Sort(all)
		for _, port := range slices.Compact(all) {
			name := h.name
			if h.node != "" {
				name = withPort(h.name, int(port))
			}
			n.must(n.serveTCP(ns, name, port))
			n.must(n.serveUDP(ns, name, "udp4", port))
			n.must(n.serveUDP(ns, name, "udp6", port))
			n.must(n.serveSCTP(associations, name, port))
		}
	}
}

// serveTCP answers each connection with a line that has the server's name and the client's address, and then sends back
// each line that it receives.
func (n *network) serveTCP(ns *lab.Namespace, name string, port uint16) error {
	var listener net.Listener
	if err := ns.Do(func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	}); err != nil {
		return fmt.Errorf("listen on port %d of %s: %w", port, ns.Name(), err)
	}
	n.t.Cleanup(func() { listener.Close() })
	go accept(listener, name)
	return nil
}

// serveSCTP is serveTCP for associations.
func (n *network) serveSCTP(host *sctp.Host, name string, port uint16) error {
	listener, err := host.Listen(port)
	if err != nil {
		return err
	}
	n.t.Cleanup(func() { listener.Close() })
	go accept(listener, name)
	return nil
}

// accept answers connections until the listener is closed.
func accept(listener net.Listener, name string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go answer(conn, name)
	}
}

func answer(conn net.Conn, name string) {
	defer conn.Close()
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	if _, err := fmt.Fprintf(conn, "%s %s\n", name, from); err != nil {
		return
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if _, err := fmt.Fprintf(conn, "%s\n", lines.Text()); err != nil {
			return
		}
	}
}

// serveUDP answers each datagram with the server's name and the client's address, from the very address that it was sent
// to, which need not be an address of the host.
func (n *network) serveUDP(ns *lab.Namespace, name, network string, port uint16) error {
	var conn net.PacketConn
	if err := ns.Do(func() (err error) {
		conn, err = net.ListenPacket(network, fmt.Sprintf(":%d", port))
		return err
	}); err != nil {
		return fmt.Errorf("listen on %s port %d of %s: %w", network, port, ns.Name(), err)
	}
	n.t.Cleanup(func() { conn.Close() })
	if network == "udp4" {
		go answerIPv4(ipv4.NewPacketConn(conn), name)
	} else {
		go answerIPv6(ipv6.NewPacketConn(conn), name)
	}
	return nil
}

func answerIPv4(conn *ipv4.PacketConn, name string) {
	if conn.SetControlMessage(ipv4.FlagDst, true) != nil {
		return
	}
	buffer := make([]byte, 64)
	for {
		_, control, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		// A reply that fails is seen by the client.
		_, _ = conn.WriteTo(reply(name, from), &ipv4.ControlMessage{Src: control.Dst}, from)
	}
}

func answerIPv6(conn *ipv6.PacketConn, name string) {
	if conn.SetControlMessage(ipv6.FlagDst, true) != nil {
		return
	}
	buffer := make([]byte, 64)
	for {
		_, control, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(reply(name, from), &ipv6.ControlMessage{Src: control.Dst}, from)
	}
}

func reply(name string, from net.Addr) []byte {
	return fmt.Appendf(nil, "%s %s\n", name, unmapped(from))
}

func unmapped(from net.Addr) netip.Addr { return from.(*net.UDPAddr).AddrPort().Addr().Unmap() }
