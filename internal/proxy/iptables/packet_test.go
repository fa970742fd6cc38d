package iptables

import (
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/proxy/proxytest"
)

// TestPackets holds the backend against the packet table, in each variant.
func TestPackets(t *testing.T) {
	for _, v := range variants() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel() // it mostly waits
			proxytest.Run(t, func(part testing.TB, node *lab.Namespace) proxy.Backend {
				// The connection outlives the part: its own clean-up still uses the backend.
				return newBackend(part, connIn(t, node, v), sysctlIn{node})
			})
		})
	}
}
