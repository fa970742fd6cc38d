package iptables

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// variants are all that the backend is tested with.
func variants() []iptables.Variant { return []iptables.Variant{iptables.Legacy, iptables.NFT} }

// connIn opens the iptables of a namespace.
func connIn(tb testing.TB, ns *lab.Namespace, v iptables.Variant) *iptables.Conn {
	tb.Helper()
	var conn *iptables.Conn
	// The lock is the machine's, whatever the namespace: tests of other packages need not wait for this one.
	lock := "XTABLES_LOCKFILE=" + filepath.Join(tb.TempDir(), "lock")
	command := func(ctx context.Context, name string, args ...string) *exec.Cmd {
		c := ns.Command(ctx, name, args...)
		c.Env = append(os.Environ(), lock)
		return c
	}
	err := ns.Do(func() (err error) {
		conn, err = iptables.Open(tb.Context(), iptables.Options{Variant: v, Wait: time.Minute, Command: command})
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Error(err)
		}
	})
	return conn
}

// sysctlIn sets the settings of a namespace.
type sysctlIn struct{ ns *lab.Namespace }

func (s sysctlIn) SetInt(key string, value int) error {
	return s.ns.SetSysctl(key, strconv.Itoa(value))
}

// settings remembers what was set.
type settings map[string]int

func (s settings) SetInt(key string, value int) error {
	s[key] = value
	return nil
}

// newBackend returns a backend on a kernel.
func newBackend(tb testing.TB, k Kernel, s Sysctl) *Backend {
	tb.Helper()
	b, err := New(Config{}, Deps{Kernel: k, Sysctl: s, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// mustSync syncs or fails the test.
func mustSync(tb testing.TB, b *Backend, u plan.Update) plan.Report {
	tb.Helper()
	report, err := b.Sync(tb.Context(), u)
	if err != nil {
		tb.Fatalf("Sync: %v", err)
	}
	return report
}
