package nginx

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress"
	"github.com/switchyard-net/switchyard/internal/ingress/enginetest"
)

var _ ingress.Engine = (*Engine)(nil)

// start starts engines for tests, on loopback.
func start(differs map[string]string) enginetest.Start {
	return enginetest.Start{Differs: differs, New: func(t testing.TB) enginetest.Started {
		t.Helper()
		http, https := freePort(t), freePort(t)
		e, err := Open(Options{
			Config: Config{
				Entry: Entry{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, HTTPPort: http, HTTPSPort: https, Workers: 1},
				Pace:  time.Millisecond,
			},
			Dir: t.TempDir(), Drain: time.Second, AccessLog: t.Output(),
		}, slog.New(slog.NewTextHandler(t.Output(), nil)))
		if err != nil {
			t.Fatal(err)
		}
		return enginetest.Started{Engine: e, Addresses: func() (string, string) {
			return fmt.Sprintf("127.0.0.1:%d", http), fmt.Sprintf("127.0.0.1:%d", https)
		}}
	}}
}

// freePort returns a port that nobody listens on, as nginx cannot be told to choose one.
func freePort(t testing.TB) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// differs is what nginx does otherwise, as README.md says.
var differs = map[string]string{
	"forwarding/headers that tell of the client": "nginx always sends Server",
	"forwarding/hop by hop and odd names":        "nginx forwards the fields that Connection names",
}

func TestCore(t *testing.T) { enginetest.Run(t, start(differs), enginetest.Core()) }
