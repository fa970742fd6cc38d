package nftables

import (
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/proxy/proxytest"
)

// TestPackets holds the backend against the packet table.
func TestPackets(t *testing.T) {
	proxytest.Run(t, func(t testing.TB, node *lab.Namespace) proxy.Backend {
		return newBackend(t, connIn(t, node))
	})
}
