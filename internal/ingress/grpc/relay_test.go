package grpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net/netip"
	"testing"
	"time"

	gogrpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard-net/switchyard/internal/ingress/grpc/grpctest"
	"github.com/switchyard-net/switchyard/internal/ingress/http2"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// entry starts a server that hands all calls to a backend, and returns a client of it.
func entry(t *testing.T, dial func(*loop.Task) (http2.Dialed, error), read time.Duration) *gogrpc.ClientConn {
	t.Helper()
	l, err := loop.New(loop.Config{Log: slog.Default(), Panic: func() { t.Error("a task panicked") }})
	if err != nil {
		t.Fatal(err)
	}
	pool := &http2.Pool{}
	server := &http2.Server{Serve: func(task *loop.Task, s message.Stream) {
		c, err := pool.Get(task, http2.Key{}, 0, dial)
		if err != nil {
			_ = s.Respond(Answer(502, err.Error()), true)
			return
		}
		r := s.Request()
		call := c.Do(&http2.Head{Method: r.Method, Authority: r.Authority, Target: r.Target, Header: r.Header, Length: r.Length, Trailers: true, Read: read}, false)
		if result := Relay(task, s, s, call, func(*message.Response) {}); result.Err != nil && !result.Responded && !result.Client {
			_ = s.Respond(Answer(504, "the backend is silent"), true)
		}
	}}
	listener, err := l.Listen(netip.MustParseAddrPort("127.0.0.1:0"), loop.ListenConfig{}, func(task *loop.Task, raw *loop.Conn) {
		_ = server.NewConn(task, raw, raw, http2.Peer{Peer: raw.Remote()}).Serve()
	})
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
	client, err := gogrpc.NewClient(listener.Addr().String(), gogrpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func plain(addr netip.AddrPort) func(*loop.Task) (http2.Dialed, error) {
	return func(task *loop.Task) (http2.Dialed, error) {
		raw, err := task.Dial(addr, time.Second)
		return http2.Dialed{Raw: raw, Conn: raw}, err
	}
}

// flushing is a connection below TLS: what was queued goes out before more is waited for.
type flushing struct{ *loop.Conn }

func (f flushing) Read(p []byte) (int, error) {
	if err := f.Flush(); err != nil {
		return 0, err
	}
	return f.Conn.Read(p)
}

func secure(addr netip.AddrPort, config *tls.Config) func(*loop.Task) (http2.Dialed, error) {
	return func(task *loop.Task) (http2.Dialed, error) {
		raw, err := task.Dial(addr, time.Second)
		if err != nil {
			return http2.Dialed{}, err
		}
		raw.Queue()
		c := tls.Client(flushing{raw}, config)
		return http2.Dialed{Raw: raw, Conn: c}, c.Handshake()
	}
}

// TestCalls makes calls of all four kinds, with Go's client and server, over backends in the clear and with TLS.
func TestCalls(t *testing.T) {
	cert := selfSigned(t)
	tests := map[string]func(*testing.T) *gogrpc.ClientConn{
		"GRPC": func(t *testing.T) *gogrpc.ClientConn { return entry(t, plain(grpctest.Backend(t)), 0) },
		"GRPCS": func(t *testing.T) *gogrpc.ClientConn {
			addr := grpctest.Backend(t, gogrpc.Creds(credentials.NewServerTLSFromCert(&cert)))
			return entry(t, secure(addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}), 0)
		},
	}
	for name, connect := range tests {
		t.Run(name, func(t *testing.T) {
			grpctest.Calls(t, connect(t))
		})
	}
}

// TestOwnAnswers are calls that the entry answers itself.
func TestOwnAnswers(t *testing.T) {
	tests := map[string]struct {
		dial func(*loop.Task) (http2.Dialed, error)
		read time.Duration
		want codes.Code
		text string
	}{
		"no backend": {
			dial: func(*loop.Task) (http2.Dialed, error) { return http2.Dialed{}, errors.New("down: 100%") },
			want: codes.Unavailable, text: "down: 100%",
		},
		"silent backend": {dial: plain(grpctest.Backend(t)), read: 100 * time.Millisecond, want: codes.DeadlineExceeded, text: "the backend is silent"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			client := entry(t, tt.dial, tt.read)
			err := client.Invoke(t.Context(), "/test.Service/Unary", wrapperspb.String("sleep"), &grpctest.Text{})
			if s := status.Convert(err); s.Code() != tt.want || s.Message() != tt.text {
				t.Errorf("status %v", s)
			}
		})
	}
}

func TestIs(t *testing.T) {
	for value, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc;x=1": true,
		"application/grpc-web": false, "text/plain": false, "": false,
	} {
		r := &message.Request{Major: 2}
		r.Header.AddString("Content-Type", value)
		if Is(r) != want {
			t.Errorf("%q: %v", value, !want)
		}
	}
	if Is(&message.Request{Major: 2}) {
		t.Error("a request without Content-Type")
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestClientLeaves cancels a call whose request is whole: its server is to know at once.
func TestClientLeaves(t *testing.T) {
	called, cancelled := make(chan struct{}), make(chan struct{})
	addr := grpctest.Backend(t, gogrpc.UnaryInterceptor(func(ctx context.Context, _ any, _ *gogrpc.UnaryServerInfo, _ gogrpc.UnaryHandler) (any, error) {
		close(called)
		<-ctx.Done()
		close(cancelled)
		return nil, ctx.Err()
	}))
	client := entry(t, plain(addr), 0)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-called
		cancel()
	}()
	if err := client.Invoke(ctx, "/test.Service/Unary", &grpctest.Text{}, &grpctest.Text{}); status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	select {
	case <-cancelled:
	case <-time.After(10 * time.Second):
		t.Error("the server does not know")
	}
}
