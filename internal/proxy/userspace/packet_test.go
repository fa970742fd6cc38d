package userspace

import (
	"log/slog"
	"testing"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/proxy/nftables"
	"github.com/switchyard-net/switchyard/internal/proxy/proxytest"
)

// TestPackets holds the backend against the packet table.
func TestPackets(t *testing.T) {
	proxytest.Run(t, func(part testing.TB, node *lab.Namespace) proxy.Backend {
		return newBackend(part, node, Config{})
	})
}

// newBackend returns a backend in a namespace, which is closed with the test.
func newBackend(t testing.TB, ns *lab.Namespace, cfg Config) *Backend {
	t.Helper()
	var conn *nft.Conn
	var b *Backend
	if cfg.Drain == 0 {
		cfg.Drain = -1
	}
	if err := ns.Do(func() (err error) {
		if conn, err = nft.Open(); err != nil {
			return err
		}
		log := slog.New(slog.DiscardHandler)
		rules, err := nftables.New(nftables.Config{Handover: nftables.Handover{FirstPort: DefaultFirstPort}}, nftables.Deps{Kernel: conn, Log: log})
		if err != nil {
			return err
		}
		b, err = New(cfg, Deps{Rules: rules, Log: log})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
