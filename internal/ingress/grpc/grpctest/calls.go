package grpctest

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gogrpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Calls makes calls of all kinds to the service of Backend.
func Calls(t *testing.T, c *gogrpc.ClientConn) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *gogrpc.ClientConn){
		"unary": testUnary, "server streaming": testDown, "client streaming": testUp, "both ways": testBoth, "cancelled": testCancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

func testUnary(t *testing.T, c *gogrpc.ClientConn) {
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-meta", "m")
	large := strings.Repeat("x", 3<<20)
	var out Text
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
	s, err := c.NewStream(t.Context(), &service().Streams[0], "/test.Service/Down")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.SendMsg(wrapperspb.String("a b c")), s.CloseSend()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		var out Text
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
	s, err := c.NewStream(t.Context(), &service().Streams[1], "/test.Service/Up")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"a", "b", "c"} {
		if err := s.SendMsg(wrapperspb.String(word)); err != nil {
			t.Fatal(err)
		}
	}
	var out Text
	if err := errors.Join(s.CloseSend(), s.RecvMsg(&out)); err != nil || out.Value != "abc" {
		t.Errorf("%q, %v", out.Value, err)
	}
	// The server ends the call although the client has more to say.
	if s, err = c.NewStream(t.Context(), &service().Streams[1], "/test.Service/Up"); err != nil {
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
	s, err := c.NewStream(t.Context(), &service().Streams[2], "/test.Service/Both")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"a", "b", "c"} { // each is answered before the next is sent: nothing is held back
		var out Text
		if err := errors.Join(s.SendMsg(wrapperspb.String(word)), s.RecvMsg(&out)); err != nil || out.Value != strings.ToUpper(word) {
			t.Fatalf("%q, %v", out.Value, err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(&Text{}); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func testCancelled(t *testing.T, c *gogrpc.ClientConn) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := c.Invoke(ctx, "/test.Service/Unary", wrapperspb.String("sleep"), &Text{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
}
