package enginetest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// dial returns a dialer that goes to one address.
func (e *Entry) dial(addr string) func(ctx context.Context, network, to string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
}

// over2 is a tunnel over HTTP/2 (RFC 8441).
type over2 struct {
	*http2.Framer
	rest []byte
	end  bool
}

func (o *over2) Write(p []byte) (int, error) { return len(p), o.WriteData(1, false, p) }

func (o *over2) CloseWrite() error { return o.WriteData(1, true, nil) }

func (o *over2) Read(p []byte) (int, error) {
	for len(o.rest) == 0 {
		if o.end {
			return 0, io.EOF
		}
		f, err := o.ReadFrame()
		if err != nil {
			return 0, err
		}
		switch f := f.(type) {
		case *http2.DataFrame:
			o.rest, o.end = bytes.Clone(f.Data()), f.StreamEnded()
		case *http2.RSTStreamFrame:
			return 0, io.ErrUnexpectedEOF
		}
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	return n, nil
}

func tunnel2(t *testing.T, c net.Conn, host string) tunnel {
	t.Helper()
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	o := &over2{Framer: http2.NewFramer(c, c)}
	o.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := o.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "CONNECT"},
		{":protocol", "websocket"},
		{":scheme", "http"},
		{":authority", host},
		{":path", "/chat"},
		{"sec-websocket-version", "13"},
	} {
		_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	if err := o.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := o.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		h, ok := f.(*http2.MetaHeadersFrame)
		if !ok {
			continue
		}
		if h.PseudoValue("status") != "200" || h.StreamEnded() {
			t.Fatalf("%v", h.Fields)
		}
		return o
	}
}

// leaving starts a server of HTTP/2 that answers each request with GOAWAY: it has not looked at it.
func leaving(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	leave := func(c net.Conn) {
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		framer := http2.NewFramer(c, c)
		_ = framer.WriteSettings()
		for {
			f, err := framer.ReadFrame()
			if err != nil {
				return
			}
			if _, ok := f.(*http2.DataFrame); ok { // by then the body is on its way
				_ = framer.WriteGoAway(0, http2.ErrCodeNo, nil)
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go leave(c)
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}
