package ipvs

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/kernel/route"
	"github.com/switchyard-net/switchyard/internal/kernel/sysctl"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/guest"
	"github.com/switchyard-net/switchyard/internal/lab/guesttest"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/proxy/proxytest"
)

// TestGuest runs what needs IPVS in a guest that has it.
func TestGuest(t *testing.T) {
	guesttest.Run(t, guest.Machine{}, func(t *testing.T) {
		t.Run("Packets", func(t *testing.T) {
			proxytest.Run(t, func(part testing.TB, node *lab.Namespace) proxy.Backend { return newIn(part, node, Config{}) })
		})
	})
}

// inNamespace are the settings of a namespace.
type inNamespace struct{ *lab.Namespace }

func (n inNamespace) Int(key string) (value int, err error) {
	err = n.Do(func() error { value, err = sysctl.Tree{}.Int(key); return err })
	return value, err
}

func (n inNamespace) SetInt(key string, value int) error {
	return n.Do(func() error { return sysctl.Tree{}.SetInt(key, value) })
}

type execRules struct{ ns *lab.Namespace }

func (e execRules) name(f model.Family) string {
	if f == model.IPv6 {
		return "ip6tables"
	}
	return "iptables"
}

func (e execRules) Restore(ctx context.Context, f model.Family, write func(io.Writer) error) error {
	c := e.ns.Command(ctx, e.name(f)+"-restore", "--noflush", "-w", "5")
	r, w := io.Pipe()
	c.Stdin = r
	go func() { w.CloseWithError(write(w)) }()
	out, err := c.CombinedOutput()
	if err != nil {
		return &execError{string(out), err}
	}
	return nil
}

type execError struct {
	out string
	err error
}

func (e *execError) Error() string { return e.err.Error() + ": " + e.out }

func (e execRules) Save(ctx context.Context, f model.Family, table string, line func([]byte) error) error {
	c := e.ns.Command(ctx, e.name(f)+"-save", "-t", table)
	r, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		if err := line(scanner.Bytes()); err != nil {
			return err
		}
	}
	return c.Wait()
}

var _ Rules = (*iptables.Conn)(nil)

// depsIn opens everything in a namespace.
func depsIn(tb testing.TB, ns *lab.Namespace) Deps {
	tb.Helper()
	deps := Deps{Rules: execRules{ns}, Sysctls: inNamespace{ns}, Log: slog.New(slog.DiscardHandler)}
	open := func() error {
		servers, err := ipvs.Open()
		if err != nil {
			return err
		}
		tb.Cleanup(func() { _ = servers.Close() })
		sets, err := ipset.Open()
		if err != nil {
			return err
		}
		tb.Cleanup(func() { _ = sets.Close() })
		host, err := route.Open()
		if err != nil {
			return err
		}
		tb.Cleanup(func() { _ = host.Close() })
		deps.Servers, deps.Sets, deps.Routes = servers, sets, host
		return nil
	}
	if err := ns.Do(open); err != nil {
		tb.Fatal(err)
	}
	return deps
}

func newIn(tb testing.TB, ns *lab.Namespace, cfg Config) *Backend {
	tb.Helper()
	b, err := New(cfg, depsIn(tb, ns))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
