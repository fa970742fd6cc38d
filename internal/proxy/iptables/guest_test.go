package iptables

import (
	"testing"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/guest"
	"github.com/switchyard-net/switchyard/internal/lab/guesttest"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/proxy/proxytest"
)

// TestSCTPInGuest translates the associations of a kernel with SCTP sockets. The guest's kernel has the legacy variant only.
func TestSCTPInGuest(t *testing.T) {
	guesttest.Run(t, guest.Machine{}, func(t *testing.T) {
		proxytest.RunSCTP(t, func(part testing.TB, node *lab.Namespace) proxy.Backend {
			return newBackend(part, connIn(t, node, iptables.Legacy), sysctlIn{node})
		})
	})
}
