package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// The networks of the benchmark, none of which has a route out. The control network is shared by the API server and
// the node under test; the other two join the node with the client and with the pods.
var (
	controlAddress = netip.MustParsePrefix("10.220.0.1/24")
	nodeAddress    = netip.MustParsePrefix("10.220.0.2/24")
	clientNetwork  = netip.MustParsePrefix("10.210.0.0/24")
	clientGateway  = netip.MustParsePrefix("10.210.0.1/24")
	clientAddress  = netip.MustParsePrefix("10.210.0.2/24")
	podGateway     = netip.MustParsePrefix("10.211.0.1/24")
	podAddress     = netip.MustParsePrefix("10.211.0.2/24")
)

// network is the surroundings of one system under test: fresh for each, so that none inherits rules or flows.
//
//	client --- node --- pods          every pod address is local to the one namespace "pods"
//	            |
//	         API server
type network struct {
	lab                *lab.Lab
	client, node, pods *lab.Namespace
}

// In a guest there is no control network, nil: see wireUp.
func newNetwork(ctx context.Context, control *lab.LAN) (_ *network, err error) {
	l, err := lab.New("bench-node")
	if err != nil {
		return nil, err
	}
	n := &network{lab: l}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("build the network of a run: %w", err), n.close())
		}
	}()
	for name, ns := range map[string]**lab.Namespace{"client": &n.client, "node": &n.node, "pods": &n.pods} {
		if *ns, err = l.NewNamespace(name); err != nil {
			return nil, err
		}
	}
	if err := n.connect(ctx, control); err != nil {
		return nil, err
	}
	return n, n.serve(ctx)
}

func (n *network) connect(ctx context.Context, control *lab.LAN) error {
	toClient := lab.LinkOptions{
		A: lab.End{Name: "eth0", Addresses: []netip.Prefix{clientAddress}},
		B: lab.End{Name: "client", Addresses: []netip.Prefix{clientGateway}},
	}
	toPods := lab.LinkOptions{
		A: lab.End{Name: "eth0", Addresses: []netip.Prefix{podAddress}},
		B: lab.End{Name: "pods", Addresses: []netip.Prefix{podGateway}},
	}
	join := func() error { return control.Join(n.node, "eth0", nodeAddress) }
	if control == nil {
		join = func() error { return n.node.AddAddress("lo", netip.PrefixFrom(nodeAddress.Addr(), 32)) }
	}
	return errors.Join(
		join(),
		lab.Link(n.client, n.node, toClient),
		lab.Link(n.pods, n.node, toPods),
		n.client.AddDefaultRoute(clientGateway.Addr()),
		n.pods.AddDefaultRoute(podGateway.Addr()),
		n.pods.Command(ctx, "ip", "route", "add", "local", podNetwork.String(), "dev", "lo").Run(),
		n.node.AddRoute(podNetwork, podAddress.Addr()),
		n.node.SetSysctl("net.ipv4.ip_forward", "1"),
		// A probe of an address without rules is answered at once, however many there are.
		n.node.SetSysctl("net.ipv4.icmp_ratelimit", "0"),
		// Closed connections of one measurement must not fill the table for the next.
		n.node.SetSysctl("net.netfilter.nf_conntrack_tcp_timeout_close", "1"),
		n.node.SetSysctl("net.netfilter.nf_conntrack_tcp_timeout_time_wait", "1"),
	)
}

// serve answers on every pod address with that address, until the network is closed.
func (n *network) serve(ctx context.Context) error {
	listener, err := n.pods.Listen(ctx, "tcp", netip.AddrPortFrom(netip.IPv4Unspecified(), podPort))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answer(conn)
		}
	}()
	return nil
}

// answer tells the client which pod address it has reached, and leaves closing to it.
func answer(conn net.Conn) {
	defer conn.Close()
	local := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().As4()
	var question [1]byte
	if _, err := io.ReadFull(conn, question[:]); err != nil {
		return
	}
	if _, err := conn.Write(local[:]); err != nil {
		return
	}
	// Returns when the client resets the connection.
	_, _ = conn.Read(question[:])
}

func (n *network) close() error { return n.lab.Close() }
