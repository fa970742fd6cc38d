package grpctest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	gogrpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Text is the message of all methods.
type Text = wrapperspb.StringValue

// service has a method of each of the four kinds.
func service() *gogrpc.ServiceDesc {
	return &gogrpc.ServiceDesc{
		ServiceName: "test.Service", HandlerType: (*any)(nil),
		Methods: []gogrpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, ctx context.Context, dec func(any) error, interceptor gogrpc.UnaryServerInterceptor) (any, error) {
			var in Text
			if err := dec(&in); err != nil {
				return nil, err
			}
			handle := func(ctx context.Context, in any) (any, error) { return unary(ctx, in.(*Text)) }
			if interceptor == nil {
				return handle(ctx, &in)
			}
			return interceptor(ctx, &in, &gogrpc.UnaryServerInfo{FullMethod: "/test.Service/Unary"}, handle)
		}}},
		Streams: []gogrpc.StreamDesc{
			{StreamName: "Down", ServerStreams: true, Handler: down},
			{StreamName: "Up", ClientStreams: true, Handler: up},
			{StreamName: "Both", ServerStreams: true, ClientStreams: true, Handler: both},
		},
	}
}

func unary(ctx context.Context, in *Text) (any, error) {
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
	var in Text
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
		var in Text
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
		var in Text
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

// Backend starts a server with the service, which ends with the test.
func Backend(t testing.TB, options ...gogrpc.ServerOption) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := gogrpc.NewServer(options...)
	s.RegisterService(service(), struct{}{})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return netip.MustParseAddrPort(l.Addr().String())
}
