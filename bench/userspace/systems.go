package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy/nftables"
	"github.com/switchyard-net/switchyard/internal/proxy/userspace"
)

// system is a proxy under test, or without a process the way without one.
type system struct {
	name, mode string
	process    *exec.Cmd
	dir        string
	address    netip.Addr // that clients connect to
	offset     uint16     // of its ports to the server's
}

// startSystems starts the server and all proxies. They stay there for the whole run, and are idle out of their turn.
func startSystems(ctx context.Context, n *network) ([]*system, error) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		return nil, errors.New("haproxy is needed: apt-get install haproxy")
	}
	server, err := startAgent(ctx, n, "server")
	if err != nil {
		return nil, err
	}
	ours, err := startAgent(ctx, n, "proxy")
	if err != nil {
		return nil, err
	}
	all := []*system{
		{name: "server", mode: "alone", process: server, address: serverAddress.Addr()},
		{name: "switchyard", mode: "userspace", process: ours, address: virtual},
	}
	for i, mode := range []string{"tcp", "tcp+splice"} {
		s, err := startHAProxy(ctx, n, mode, uint16(1000*(i+1)))
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}

// startAgent runs this program in a namespace with one thread for Go code, and waits until it is ready.
func startAgent(ctx context.Context, n *network, what string) (*exec.Cmd, error) {
	ns := n.node
	if what == "server" {
		ns = n.server
	}
	command, err := self(ctx, ns, "-agent", what)
	if err != nil {
		return nil, err
	}
	if what == "proxy" {
		command.Env = append(os.Environ(), "GOMAXPROCS=1")
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the %s did not start: %w", what, err)
	}
	return command, nil
}

// proxy is Switchyard's userspace mode for one Service with three ports, which keeps clients' addresses.
func proxy(ctx context.Context) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	conn, err := nft.Open()
	if err != nil {
		return err
	}
	rules, err := nftables.New(nftables.Config{Handover: nftables.Handover{FirstPort: userspace.DefaultFirstPort}}, nftables.Deps{Kernel: conn, Log: log})
	if err != nil {
		return err
	}
	backend, err := userspace.New(userspace.Config{Workers: 1, Drain: time.Millisecond}, userspace.Deps{Rules: rules, Log: log})
	if err != nil {
		return err
	}
	s := &plan.Service{Ref: model.Ref{Namespace: "bench", Name: "server"}, ClusterIPs: []netip.Addr{virtual}}
	for i, port := range []uint16{portDownload, portUpload, portConnect} {
		s.Pools = append(s.Pools, plan.Pool{
			Protocol: model.TCP, Family: model.IPv4,
			Endpoints: []plan.Endpoint{{Addr: netip.AddrPortFrom(serverAddress.Addr(), port)}},
		})
		s.Frontends = append(s.Frontends, plan.Frontend{
			Key: plan.Key{Addr: virtual, Port: port, Protocol: model.TCP}, Pool: plan.PoolID(i), LocalClientPool: plan.NoPool,
		})
	}
	p := &plan.Plan{Node: plan.Node{MasqueradeBit: 14}}
	p.Services = p.Services.With(s.Ref, s)
	if _, err := backend.Sync(ctx, plan.Update{Plan: p, Full: true}); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return errors.Join(backend.Close(), conn.Close())
}

// startHAProxy runs HAProxy with one thread on ports of its own.
func startHAProxy(ctx context.Context, n *network, mode string, offset uint16) (*system, error) {
	dir, err := os.MkdirTemp("", "bench-haproxy-")
	if err != nil {
		return nil, err
	}
	text := "global\n  nbthread 1\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1m\n  timeout server 1m\n"
	if mode == "tcp+splice" {
		text += "  option splice-auto\n"
	}
	for _, port := range []uint16{portDownload, portUpload, portConnect} {
		text += fmt.Sprintf("listen p%d\n  bind %s:%d\n  server s %s:%d\n", port, nodeOuter.Addr(), port+offset, serverAddress.Addr(), port)
	}
	path := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	command := n.node.Command(ctx, "haproxy", "-q", "-db", "-f", path)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, err
	}
	s := &system{name: "haproxy", mode: mode, process: command, dir: dir, address: nodeOuter.Addr(), offset: offset}
	return s, n.answers(ctx, s.to(portConnect))
}

// answers waits until something listens.
func (n *network) answers(ctx context.Context, to netip.AddrPort) error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := n.client.Dial(ctx, "tcp", to)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

func (s *system) String() string { return s.name + " " + s.mode }

func (s *system) to(port uint16) netip.AddrPort { return netip.AddrPortFrom(s.address, port+s.offset) }

// cpu returns the processor time that the system's process has used.
func (s *system) cpu() (time.Duration, error) {
	var t unix.Timespec
	clock := int32(^s.process.Process.Pid<<3 | 2) // CPUCLOCK_SCHED of a process, clock_getcpuclockid(3)
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("read the processor time of %s: %w", s, err)
	}
	return time.Duration(t.Nano()), nil
}

func (s *system) stop() error {
	// It may have ended with the context.
	_ = s.process.Process.Signal(syscall.SIGTERM)
	_ = s.process.Wait()
	if s.dir != "" {
		return os.RemoveAll(s.dir)
	}
	return nil
}
