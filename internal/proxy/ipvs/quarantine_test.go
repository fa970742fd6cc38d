package ipvs

import (
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/guest"
	"github.com/switchyard-net/switchyard/internal/lab/guesttest"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/proxy/proxytest"
)

// TestQuarantine has endpoints fail behind the backend, in a guest.
func TestQuarantine(t *testing.T) {
	guesttest.Run(t, guest.Machine{}, func(t *testing.T) {
		proxytest.RunQuarantine(t, func(part testing.TB, node *lab.Namespace) proxy.Backend { return newIn(part, node, Config{}) })
	})
}
