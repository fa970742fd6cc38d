package iptables

import (
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/proxy/proxytest"
)

// TestQuarantine has endpoints fail behind the backend, in each variant.
func TestQuarantine(t *testing.T) {
	for _, v := range variants() {
		t.Run(string(v), func(t *testing.T) {
			proxytest.RunQuarantine(t, func(part testing.TB, node *lab.Namespace) proxy.Backend {
				return newBackend(part, connIn(t, node, v), sysctlIn{node})
			})
		})
	}
}
