package nginx

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
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
		dir := t.TempDir()
		if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // nginx's workers are another user's
			t.Fatal(err)
		}
		e, err := Open(Options{
			Config: Config{
				Entry: Entry{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, HTTPPort: http, HTTPSPort: https, Workers: 1},
				Pace:  time.Millisecond,
			},
			Dir: dir, Drain: time.Second, AccessLog: t.Output(),
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
	"carrying/hop by hop and odd names":          "nginx forwards the fields that Connection names",
	"framing/a name that is no token":            "nginx leaves the field out",
	"framing/no colon":                           "nginx leaves the line out",
	"framing/a bare LF":                          "nginx takes LF for the end of a line",
	"framing/two spaces":                         "nginx takes them for one",
	"framing/a chunk size that ends with LF":     "nginx takes LF for the end of a line",
	"framing/a chunk size with white space":      "nginx skips it",
	"framing/an expectation that is not known":   "nginx ignores it",
	"plain.test_with_TLS_false":                  "nginx has no HTTP/2 without TLS beside HTTP/1.1 on one port",
	"secure.test_with_TLS_false":                 "nginx has no HTTP/2 without TLS beside HTTP/1.1 on one port",
	"a_server_that_leaves":                       "nginx does not try a call again",
	"slow.test":                                  "nginx's own answers to gRPC are HTTP's",
	"small.test":                                 "nginx's own answers to gRPC are HTTP's",
	"HTTP/1.1":                                   "nginx closes a tunnel when one side has ended",
	"HTTP/1.1_with_TLS":                          "nginx closes a tunnel when one side has ended",
	"HTTP/2":                                     "nginx has no tunnels over HTTP/2 (RFC 8441)",
	"HTTP/2_with_TLS":                            "nginx has no tunnels over HTTP/2 (RFC 8441)",
	"h2/both_ways":                               "nginx begins to answer when the request has ended",
	"h2c/both_ways":                              "nginx has no HTTP/2 without TLS beside HTTP/1.1 on one port",
	"with_TLS_false":                             "nginx takes a port with a leading zero in PROXY protocol",
	"with_TLS_true":                              "nginx takes a port with a leading zero in PROXY protocol",
}

func TestCore(t *testing.T) { enginetest.Run(t, start(differs), enginetest.Core()) }

func TestFraming(t *testing.T) { enginetest.Run(t, start(differs), enginetest.Framing()) }

func TestGRPC(t *testing.T) { enginetest.GRPC(t, start(differs)) }

func TestWebSocket(t *testing.T) { enginetest.WebSocket(t, start(differs)) }

func TestStreaming(t *testing.T) { enginetest.Streaming(t, start(differs)) }

func TestPassthrough(t *testing.T) { enginetest.Passthrough(t, start(differs)) }

func TestProxyProtocol(t *testing.T) { enginetest.ProxyProtocol(t, start(differs)) }

func TestServices(t *testing.T) { enginetest.Services(t, start(differs)) }

func TestAnnotations(t *testing.T) { enginetest.Annotations(t, start(differs)) }
