package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// The addresses of the benchmark.
//
//	client --- node (the proxies) --- server
var (
	clientAddress = netip.MustParsePrefix("10.210.0.2/24")
	nodeOuter     = netip.MustParsePrefix("10.210.0.1/24")
	nodeInner     = netip.MustParsePrefix("10.211.0.1/24")
	serverAddress = netip.MustParsePrefix("10.211.0.2/24")
	virtual       = netip.MustParseAddr("10.96.0.1")
)

// The server's ports.
const (
	portDownload uint16 = 9000
	portUpload   uint16 = 9001
	portConnect  uint16 = 9002
)

type network struct {
	lab                  *lab.Lab
	client, node, server *lab.Namespace
}

func newNetwork() (_ *network, err error) {
	l, err := lab.New("bench-userspace")
	if err != nil {
		return nil, err
	}
	n := &network{lab: l}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("build the network: %w", err), l.Close())
		}
	}()
	for name, ns := range map[string]**lab.Namespace{"client": &n.client, "node": &n.node, "server": &n.server} {
		if *ns, err = l.NewNamespace(name); err != nil {
			return nil, err
		}
	}
	end := func(p netip.Prefix, name string) lab.End { return lab.End{Name: name, Addresses: []netip.Prefix{p}} }
	return n, errors.Join(
		lab.Link(n.client, n.node, lab.LinkOptions{A: end(clientAddress, "eth0"), B: end(nodeOuter, "client")}),
		lab.Link(n.server, n.node, lab.LinkOptions{A: end(serverAddress, "eth0"), B: end(nodeInner, "server")}),
		n.client.AddDefaultRoute(nodeOuter.Addr()),
		n.server.AddDefaultRoute(nodeInner.Addr()),
		n.node.SetSysctl("net.ipv4.ip_forward", "1"),
		// Closed connections of one turn must not fill the table for the next.
		n.node.SetSysctl("net.netfilter.nf_conntrack_tcp_timeout_close", "1"),
		n.node.SetSysctl("net.netfilter.nf_conntrack_tcp_timeout_time_wait", "1"),
	)
}

// self returns a command that runs this program as an agent in a namespace.
func self(ctx context.Context, ns *lab.Namespace, args ...string) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := ns.Command(ctx, program, args...)
	command.Stderr = os.Stderr
	return command, nil
}
