package native

import (
	"log/slog"
	"net/netip"
	"testing"

	"github.com/switchyard-net/switchyard/internal/ingress"
	"github.com/switchyard-net/switchyard/internal/ingress/enginetest"
)

var _ ingress.Engine = (*Engine)(nil)

// start starts engines for tests.
func start() enginetest.Start {
	return enginetest.Start{New: func(t testing.TB) enginetest.Started { return startWith(t, Deps{}) }}
}

// startWith makes an engine with everything on, and a log that goes to the test's.
func startWith(t testing.TB, deps Deps) enginetest.Started {
	t.Helper()
	deps.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	any := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	e, err := New(Config{HTTP: any, HTTPS: any, Loops: 2, TempDir: t.TempDir(), HTTP3: true, Passthrough: true}, deps)
	if err != nil {
		t.Fatal(err)
	}
	return enginetest.Started{Engine: e, Addresses: func() (string, string) {
		http, https := e.Addresses()
		return http[0].String(), https[0].String()
	}}
}

func TestCore(t *testing.T) { enginetest.Run(t, start(), enginetest.Core()) }

func TestFraming(t *testing.T) { enginetest.Run(t, start(), enginetest.Framing()) }

func TestGRPC(t *testing.T) { enginetest.GRPC(t, start()) }

func TestWebSocket(t *testing.T) { enginetest.WebSocket(t, start()) }

func TestStreaming(t *testing.T) { enginetest.Streaming(t, start()) }

func TestPassthrough(t *testing.T) { enginetest.Passthrough(t, start()) }

func TestProxyProtocol(t *testing.T) { enginetest.ProxyProtocol(t, start()) }

func TestServices(t *testing.T) { enginetest.Services(t, start()) }

func TestHTTP3(t *testing.T) { enginetest.HTTP3(t, start()) }

func TestFastCGI(t *testing.T) { enginetest.FastCGI(t, start()) }

func TestUpstreams(t *testing.T) { enginetest.Upstreams(t, start()) }

func TestClients(t *testing.T) { enginetest.Clients(t, start()) }

func TestBackendTLS(t *testing.T) { enginetest.BackendTLS(t, start()) }
