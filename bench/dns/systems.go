package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/bench/process"
)

// The processors: the servers' and that of whoever asks.
const (
	serverCPU = "0"
	clientCPU = "1"
)

// startTimeout bounds the time until a server answers for the whole corpus.
const startTimeout = 2 * time.Minute

// system is a DNS server under test.
type system struct {
	name, mode string
	port       uint16
	metrics    uint16 // port
}

var (
	switchyard = system{"switchyard", "dns", 1053, 9153}
	coredns    = system{"coredns", "kubernetes", 2053, 9253}
)

func (s system) address() netip.AddrPort { return netip.AddrPortFrom(serverAddress.Addr(), s.port) }

// command returns the program with its arguments, without the Corefile.
func (s system) command(r *run) []string {
	if s == switchyard {
		return []string{filepath.Join(r.binaries, "switchyard"), "dns", "--kubeconfig", r.control.Kubeconfig, "--corefile"}
	}
	return []string{filepath.Join(r.binaries, "bench", "coredns"), "-conf"}
}

// corefile is kubeadm's, but for the ports, health and ready, and for the address: on a node, DNS is bound to one.
func (s system) corefile(kubeconfig string) []byte {
	return fmt.Appendf(nil, `.:%d {
    bind %s
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       kubeconfig %s
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus 127.0.0.1:%d
    forward . %s {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
`, s.port, serverAddress.Addr(), kubeconfig, s.metrics, upstreamAddress)
}

// server is a running system.
type server struct {
	system
	*process.Process
}

// start starts a system on its processor, and returns when it answers for the first and the last Service.
func (r *run) start(ctx context.Context, s system) (*server, error) {
	path := filepath.Join(r.dir, s.name+".corefile")
	if err := os.WriteFile(path, s.corefile(r.control.Kubeconfig), 0o600); err != nil {
		return nil, fmt.Errorf("write the Corefile of %s: %w", s.name, err)
	}
	args := append(append([]string{"-c", serverCPU}, s.command(r)...), path)
	command := r.network.server.Command(ctx, "taskset", args...)
	command.Env = append(os.Environ(), "GOMAXPROCS=1")
	began := time.Now()
	p, err := process.Start(command, filepath.Join(r.dir, s.name+".log"))
	if err != nil {
		return nil, err
	}
	started := &server{s, p}
	for _, i := range []int{0, r.services - 1} {
		if err := r.await(ctx, started, dns.Fqdn(clusterName(serviceName(i)))); err != nil {
			return nil, errors.Join(err, p.Exited(), p.Stop())
		}
	}
	fmt.Fprintf(os.Stderr, "%s answers after %.1fs\n", s.name, time.Since(began).Seconds())
	return started, nil
}

// dial opens a UDP socket of the client to a server.
func (r *run) dial(ctx context.Context, s system) (net.Conn, error) {
	return r.network.client.Dial(ctx, "udp", s.address())
}

// await asks for a name until it has an address.
func (r *run) await(ctx context.Context, s *server, name string) error {
	dialed, err := r.dial(ctx, s.system)
	if err != nil {
		return err
	}
	defer dialed.Close()
	conn := &dns.Conn{Conn: dialed}
	deadline := time.Now().Add(startTimeout)
	for {
		m := new(dns.Msg)
		m.SetQuestion(name, dns.TypeA)
		_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
		err := conn.WriteMsg(m)
		var reply *dns.Msg
		if err == nil {
			reply, err = conn.ReadMsg()
		}
		if err == nil && len(reply.Answer) > 0 {
			return nil
		}
		select {
		case <-s.Ended():
			return fmt.Errorf("%s ended", s.name)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer %s after %s: %w", s.name, name, startTimeout, err)
		}
	}
}
