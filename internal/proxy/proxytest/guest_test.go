package proxytest

import (
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab/guest"
	"github.com/switchyard-net/switchyard/internal/lab/guesttest"
)

// TestNothingPassesInGuest shows that the network and its SCTP sockets work in a guest.
func TestNothingPassesInGuest(t *testing.T) {
	guesttest.Run(t, guest.Machine{}, TestNothingPassesWithoutBackend)
}
