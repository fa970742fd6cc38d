package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// The addresses of the benchmark, none of which has a route out.
//
//	client ---- server ---- API server
var (
	controlAddress  = netip.MustParsePrefix("10.220.0.1/24")
	lanAddress      = netip.MustParsePrefix("10.220.0.2/24")
	nodeAddress     = netip.MustParsePrefix("10.220.0.3/24")
	serverAddress   = netip.MustParsePrefix("10.210.0.1/24")
	clientAddress   = netip.MustParsePrefix("10.210.0.2/24")
	upstreamAddress = netip.MustParseAddrPort("127.0.0.1:5353")
)

// network is where the servers, their upstream and their client are.
type network struct {
	lab            *lab.Lab
	client, server *lab.Namespace
	upstream       *dns.Server
}

func newNetwork(ctx context.Context, control *lab.LAN) (_ *network, err error) {
	l, err := lab.New("bench-dns")
	if err != nil {
		return nil, err
	}
	n := &network{lab: l}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("build the network: %w", err), l.Close())
		}
	}()
	for name, ns := range map[string]**lab.Namespace{"client": &n.client, "server": &n.server} {
		if *ns, err = l.NewNamespace(name); err != nil {
			return nil, err
		}
	}
	end := func(p netip.Prefix, name string) lab.End { return lab.End{Name: name, Addresses: []netip.Prefix{p}} }
	err = errors.Join(
		control.Join(n.server, "eth0", lanAddress),
		lab.Link(n.client, n.server, lab.LinkOptions{A: end(clientAddress, "eth0"), B: end(serverAddress, "client")}),
	)
	if err != nil {
		return nil, err
	}
	conn, err := n.server.ListenPacket(ctx, "udp", upstreamAddress)
	if err != nil {
		return nil, err
	}
	n.upstream = &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(outside)}
	go func() { _ = n.upstream.ActivateAndServe() }() // returns when it is shut down
	return n, nil
}

// outside answers names below example.com with an address for an hour, and no others.
func outside(w dns.ResponseWriter, r *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(r)
	m.RecursionAvailable = true
	q := r.Question[0]
	switch {
	case !dns.IsSubDomain("example.com.", strings.ToLower(q.Name)):
		m.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypeA:
		m.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 3600}, A: []byte{192, 0, 2, 1},
		}}
	}
	_ = w.WriteMsg(m)
}

func (n *network) close() error {
	var err error
	if n.upstream != nil {
		err = n.upstream.Shutdown()
	}
	return errors.Join(err, n.lab.Close())
}
