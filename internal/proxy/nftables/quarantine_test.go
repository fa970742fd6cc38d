package nftables

import (
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/proxy/proxytest"
)

// TestQuarantine has endpoints fail behind the backend.
func TestQuarantine(t *testing.T) {
	proxytest.RunQuarantine(t, func(part testing.TB, node *lab.Namespace) proxy.Backend {
		return newBackend(part, connIn(t, node))
	})
}
