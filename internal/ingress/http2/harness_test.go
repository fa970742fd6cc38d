package http2

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// flushing is a connection below TLS: what was queued goes out before more is waited for.
type flushing struct{ *loop.Conn }

func (f flushing) Read(p []byte) (int, error) {
	if err := f.Flush(); err != nil {
		return 0, err
	}
	return f.Conn.Read(p)
}

// testServer is a server on loopback.
type testServer struct {
	addr netip.AddrPort
	loop *loop.Loop
	// conns are those that are open; of the loop.
	conns map[*Conn]bool
	// panics counts those of tasks; of the loop.
	panics int
}

type logWriter struct{ t testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}

// startLoop runs a loop for as long as the test.
func startLoop(t testing.TB, panicked func()) *loop.Loop {
	t.Helper()
	l, err := loop.New(loop.Config{Log: slog.New(slog.NewTextHandler(logWriter{t}, nil)), Panic: panicked})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		_ = l.Run(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return l
}

// on runs f on the loop and waits for it.
func on(l *loop.Loop, f func()) {
	done := make(chan struct{})
	l.Post(func() {
		f()
		close(done)
	})
	<-done
}

// serve starts a server; with a configuration of TLS it speaks that.
func serve(t testing.TB, limits Limits, config *tls.Config, handler func(*loop.Task, message.Stream)) *testServer {
	t.Helper()
	s := &testServer{conns: make(map[*Conn]bool)}
	s.loop = startLoop(t, func() { s.panics++ })
	server := &Server{Limits: limits, Serve: handler}
	var err error
	on(s.loop, func() {
		var listener *loop.Listener
		listener, err = s.loop.Listen(netip.MustParseAddrPort("127.0.0.1:0"), loop.ListenConfig{}, func(task *loop.Task, raw *loop.Conn) {
			nc, peer := net.Conn(raw), Peer{Peer: raw.Remote(), Client: raw.Remote(), Local: raw.Local()}
			if config != nil {
				raw.Queue()
				secure := tls.Server(flushing{raw}, config)
				if secure.Handshake() != nil {
					return
				}
				nc, peer.TLS = secure, &message.TLS{Version: secure.ConnectionState().Version}
			}
			c := server.NewConn(task, raw, nc, peer)
			s.conns[c] = true
			_ = c.Serve()
			delete(s.conns, c)
		})
		if err == nil {
			s.addr = listener.Addr()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// respond answers with a text.
func respond(s message.Stream, status int, body string, fields ...string) {
	r := &message.Response{Status: status, Length: int64(len(body))}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.AddString(fields[i], fields[i+1])
	}
	if s.Respond(r, body == "") == nil && body != "" {
		_ = s.Write([]byte(body))
		_ = s.End(nil)
	}
}

// copyBody sends the request's body back, piece by piece, with its trailer.
func copyBody(_ *loop.Task, s message.Stream) {
	if s.Respond(&message.Response{Status: 200, Length: -1}, false) != nil {
		return
	}
	for {
		p, err := s.Read()
		if errors.Is(err, io.EOF) {
			_ = s.End(s.Trailer())
			return
		}
		if err != nil || s.Write(p) != nil {
			s.Abort()
			return
		}
	}
}

// certificate returns one that the pool trusts, for 127.0.0.1 and a.test.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"a.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func serverTLS(c tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}
}

// eventually waits until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}
