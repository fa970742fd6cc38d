package grpc

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
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gogrpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard-net/switchyard/internal/ingress/http2"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

type text = wrapperspb.StringValue

// service has a method of each of the four kinds.
var service = gogrpc.ServiceDesc{
	ServiceName: "test.Service", HandlerType: (*any)(nil),
	Methods: []gogrpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, ctx context.Context, dec func(any) error, _ gogrpc.UnaryServerInterceptor) (any, error) {
		var in text
		if err := dec(&in); err != nil {
			return nil, err
		}
		return unary(ctx, &in)
	}}},
	Streams: []gogrpc.StreamDesc{
		{StreamName: "Down", ServerStreams: true, Handler: down},
		{StreamName: "Up", ClientStreams: true, Handler: up},
		{StreamName: "Both", ServerStreams: true, ClientStreams: true, Handler: both},
	},
}

func unary(ctx context.Context, in *text) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	switch in.Value {
	case "fail":
		return nil, status.Error(codes.NotFound, "no such thing: ä%")
	case "sleep":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	_ = gogrpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "t"))
	return wrapperspb.String(in.Value + strings.Join(md.Get("x-meta"), ",")), nil
}

func down(_ any, s gogrpc.ServerStream) error {
	var in text
	if err := s.RecvMsg(&in); err != nil {
		return err
	}
	for _, word := range strings.Fields(in.Value) {
		if err := s.SendMsg(wrapperspb.String(word)); err != nil {
			return err
		}
	}
	return nil
}

func up(_ any, s gogrpc.ServerStream) error {
	var all strings.Builder
	for {
		var in text
		err := s.RecvMsg(&in)
		if errors.Is(err, io.EOF) {
			return s.SendMsg(wrapperspb.String(all.String()))
		}
		if err != nil {
			return err
		}
		if in.Value == "enough" {
			return status.Error(codes.ResourceExhausted, "enough")
		}
		all.WriteString(in.Value)
	}
}

func both(_ any, s gogrpc.ServerStream) error {
	for {
		var in text
		err := s.RecvMsg(&in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.SendMsg(wrapperspb.String(strings.ToUpper(in.Value))); err != nil {
			return err
		}
	}
}

// backend starts a server with the service.
func backend(t *testing.T, options ...gogrpc.ServerOption) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := gogrpc.NewServer(options...)
	s.RegisterService(&service, struct{}{})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return netip.MustParseAddrPort(l.Addr().String())
}

// entry starts a server that hands all calls to a backend, and returns a client of it.
func entry(t *testing.T, dial func(*loop.Task) (http2.Dialed, error), read time.Duration) *gogrpc.ClientConn {
	t.Helper()
	l, err := loop.New(loop.Config{Log: slog.Default(), Panic: func() { t.Error("a task panicked") }})
	if err != nil {
		t.Fatal(err)
	}
	pool := &http2.Pool{}
	server := &http2.Server{Serve: func(task *loop.Task, s message.Stream) {
		c, err := pool.Get(task, http2.Key{}, dial)
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
		"GRPC": func(t *testing.T) *gogrpc.ClientConn { return entry(t, plain(backend(t)), 0) },
		"GRPCS": func(t *testing.T) *gogrpc.ClientConn {
			addr := backend(t, gogrpc.Creds(credentials.NewServerTLSFromCert(&cert)))
			return entry(t, secure(addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}), 0)
		},
	}
	for name, connect := range tests {
		t.Run(name, func(t *testing.T) {
			client := connect(t)
			t.Run("unary", func(t *testing.T) { testUnary(t, client) })
			t.Run("server streaming", func(t *testing.T) { testDown(t, client) })
			t.Run("client streaming", func(t *testing.T) { testUp(t, client) })
			t.Run("both ways", func(t *testing.T) { testBoth(t, client) })
			t.Run("cancelled", func(t *testing.T) { testCancelled(t, client) })
		})
	}
}

func testUnary(t *testing.T, c *gogrpc.ClientConn) {
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-meta", "m")
	large := strings.Repeat("x", 3<<20)
	var out text
	var trailer metadata.MD
	if err := c.Invoke(ctx, "/test.Service/Unary", wrapperspb.String(large), &out, gogrpc.Trailer(&trailer)); err != nil {
		t.Fatal(err)
	}
	if out.Value != large+"m" || len(trailer.Get("x-trailer")) != 1 {
		t.Errorf("%d bytes, trailer %v", len(out.Value), trailer)
	}
	err := c.Invoke(ctx, "/test.Service/Unary", wrapperspb.String("fail"), &out)
	if s := status.Convert(err); s.Code() != codes.NotFound || s.Message() != "no such thing: ä%" {
		t.Errorf("status %v", s)
	}
	err = c.Invoke(ctx, "/test.Service/Missing", wrapperspb.String(""), &out)
	if s := status.Convert(err); s.Code() != codes.Unimplemented {
		t.Errorf("status %v", s)
	}
}

func testDown(t *testing.T, c *gogrpc.ClientConn) {
	s, err := c.NewStream(t.Context(), &service.Streams[0], "/test.Service/Down")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.SendMsg(wrapperspb.String("a b c")), s.CloseSend()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		var out text
		err := s.RecvMsg(&out)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.Value)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
		t.Error(diff)
	}
}

func testUp(t *testing.T, c *gogrpc.ClientConn) {
	s, err := c.NewStream(t.Context(), &service.Streams[1], "/test.Service/Up")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"a", "b", "c"} {
		if err := s.SendMsg(wrapperspb.String(word)); err != nil {
			t.Fatal(err)
		}
	}
	var out text
	if err := errors.Join(s.CloseSend(), s.RecvMsg(&out)); err != nil || out.Value != "abc" {
		t.Errorf("%q, %v", out.Value, err)
	}
	// The server ends the call although the client has more to say.
	if s, err = c.NewStream(t.Context(), &service.Streams[1], "/test.Service/Up"); err != nil {
		t.Fatal(err)
	}
	if err := s.SendMsg(wrapperspb.String("enough")); err != nil {
		t.Fatal(err)
	}
	if s := status.Convert(s.RecvMsg(&out)); s.Code() != codes.ResourceExhausted || s.Message() != "enough" {
		t.Errorf("status %v", s)
	}
}

func testBoth(t *testing.T, c *gogrpc.ClientConn) {
	s, err := c.NewStream(t.Context(), &service.Streams[2], "/test.Service/Both")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"a", "b", "c"} { // each is answered before the next is sent: nothing is held back
		var out text
		if err := errors.Join(s.SendMsg(wrapperspb.String(word)), s.RecvMsg(&out)); err != nil || out.Value != strings.ToUpper(word) {
			t.Fatalf("%q, %v", out.Value, err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(&text{}); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func testCancelled(t *testing.T, c *gogrpc.ClientConn) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := c.Invoke(ctx, "/test.Service/Unary", wrapperspb.String("sleep"), &text{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
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
		"silent backend": {dial: plain(backend(t)), read: 100 * time.Millisecond, want: codes.DeadlineExceeded, text: "the backend is silent"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			client := entry(t, tt.dial, tt.read)
			err := client.Invoke(t.Context(), "/test.Service/Unary", wrapperspb.String("sleep"), &text{})
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
