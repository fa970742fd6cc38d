package ipvs

import (
	"log/slog"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/kernel/route"
	"github.com/switchyard-net/switchyard/internal/kernel/sysctl"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/guest"
	"github.com/switchyard-net/switchyard/internal/lab/guesttest"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/proxy/proxytest"
)

// TestGuest runs what needs IPVS in a guest that has it.
func TestGuest(t *testing.T) {
	guesttest.Run(t, guest.Machine{}, func(t *testing.T) {
		t.Run("Packets", testPackets)
		t.Run("History", func(t *testing.T) {
			history(t, depsIn(t, lab.ForTest(t).Namespace("node")), 1, 15)
		})
		t.Run("AsOthersSeeIt", testAsOthersSeeIt)
		t.Run("Settings", testSettings)
		t.Run("Schedulers", testSchedulers)
		t.Run("Removal", testRemoval)
		t.Run("Unreachable", testUnreachable)
	})
}

// testPackets holds the backend against the packet table. IPVS remembers a client for a minute after its last connection
// at least, whatever the timeout, so that its affinity expires late.
func testPackets(t *testing.T) {
	newBackend := func(part testing.TB, node *lab.Namespace) proxy.Backend { return newIn(part, node, Config{}) }
	proxytest.Run(t, newBackend, "Rule11_AffinityExpires")
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

// depsIn opens everything in a namespace.
func depsIn(tb testing.TB, ns *lab.Namespace) Deps {
	tb.Helper()
	deps := Deps{Sysctls: inNamespace{ns}, Log: slog.New(slog.DiscardHandler)}
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
		rules, err := iptables.Open(tb.Context(), iptables.Options{Wait: time.Minute, Command: ns.Command})
		if err != nil {
			return err
		}
		tb.Cleanup(func() { _ = rules.Close() })
		table, err := conntrack.Open()
		if err != nil {
			return err
		}
		tb.Cleanup(func() { _ = table.Close() })
		deps.Servers, deps.Sets, deps.Routes, deps.Rules, deps.Tracker = servers, sets, host, rules, table
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
