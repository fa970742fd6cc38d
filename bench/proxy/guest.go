package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"k8s.io/client-go/kubernetes"

	"github.com/switchyard-net/switchyard/bench/apiserver"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/guest"
)

// The way between the API server, which runs on this machine, and a node in the guest: over a namespace that is on the
// control network and at the other end of the guest's wire.
var (
	gatewayAddress = netip.MustParsePrefix("10.220.0.3/24")
	wire           = netip.MustParsePrefix("198.51.100.0/30")
)

// guestMemory is enough for kube-proxy with 10,000 Services and for their IPVS tables, in MiB.
const guestMemory = 2048

// measureInGuest measures a system in a guest of its own: this program runs there again, with -agent.
func measureInGuest(ctx context.Context, o options, r *run, control *apiserver.Server) (err error) {
	l, err := lab.New("bench-guest")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	gateway, err := l.NewNamespace("gateway")
	if err != nil {
		return err
	}
	err = errors.Join(
		control.LAN.Join(gateway, "eth0", gatewayAddress),
		gateway.SetSysctl("net.ipv4.ip_forward", "1"),
		control.Namespace.AddRoute(wire, gatewayAddress.Addr()),
	)
	if err != nil {
		return fmt.Errorf("join a guest to the API server: %w", err)
	}
	g, err := guest.Boot(ctx, guest.Machine{MemoryMB: guestMemory, Network: gateway})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	var rows bytes.Buffer
	state, err := g.Run(ctx, guest.Command{
		Args: []string{
			program, "-agent", r.system.String(), "-services", strconv.Itoa(r.corpus.services), "-replaced", strconv.Itoa(r.corpus.replaced),
			"-changes", strconv.Itoa(r.changes), "-min-sync-period", r.pace.String(), "-bin", o.binaries, "-out", o.out,
		},
		Stdout: &rows, Stderr: os.Stderr,
	})
	if err != nil {
		return err
	}
	r.corpus.replaced += r.changes
	if rows.Len() > 0 {
		if err := json.Unmarshal(rows.Bytes(), &r.rows); err != nil {
			return fmt.Errorf("read what was measured in the guest: %w", err)
		}
	}
	if state.Code != 0 {
		return fmt.Errorf("measure %s in the guest: exit code %d", r.system, state.Code)
	}
	return nil
}

// agent measures one system in the guest that it runs in, and prints the values.
func agent(ctx context.Context, o options) error {
	for _, s := range systems() {
		if s.String() != o.agent {
			continue
		}
		services := o.sizes[0]
		r := run{
			system: s, corpus: &corpus{services: services, replaced: o.replaced}, changes: o.changes, pace: o.pace,
			binaries: o.binaries, dir: o.runDir(),
		}
		err := r.measure(ctx, &apiserver.Server{Kubeconfig: o.kubeconfig()})
		if err != nil && r.process != nil {
			// The log is gone with the guest.
			if text, read := os.ReadFile(r.process.Log); read == nil {
				fmt.Fprintf(os.Stderr, "the end of the log:\n%s\n", text[max(0, len(text)-4000):])
			}
		}
		text, encoding := json.Marshal(r.rows)
		_, writing := os.Stdout.Write(text)
		return errors.Join(err, encoding, writing)
	}
	return fmt.Errorf("-agent %q: there is no such system", o.agent)
}

// wireUp takes the guest's network device into the node's namespace, and returns a client of the API server that goes the
// same way as the node's.
func wireUp(n *network, kubeconfig string) (kubernetes.Interface, error) {
	host, err := lab.Host()
	if err != nil {
		return nil, err
	}
	defer host.Close()
	device, err := host.Netlink().LinkByName("eth0")
	if err == nil {
		err = host.Netlink().LinkSetNsFd(device, n.node.FD())
	}
	if err != nil {
		return nil, fmt.Errorf("give the guest's network device to the node: %w", err)
	}
	address := netip.PrefixFrom(netip.MustParseAddr(guest.GuestAddress), wire.Bits())
	err = errors.Join(
		n.node.AddAddress("eth0", address),
		n.node.SetUp("eth0"),
		n.node.AddRoute(controlAddress.Masked(), netip.MustParseAddr(guest.HostAddress)),
	)
	if err != nil {
		return nil, err
	}
	return apiserver.NewClient(kubeconfig, n.node)
}
