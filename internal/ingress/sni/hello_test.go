package sni

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// hello returns what Go's client sends first.
func hello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = tls.Client(client, config).HandshakeContext(ctx) }()
	b := make([]byte, MaxSize)
	n, err := server.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// split spreads the message of one record over records of up to n bytes.
func split(b []byte, n int) []byte {
	var out []byte
	for body := b[recordHeader:]; len(body) > 0; {
		piece := body[:min(n, len(body))]
		out = append(out, typeHandshake, 3, 1, byte(len(piece)>>8), byte(len(piece)))
		out = append(out, piece...)
		body = body[len(piece):]
	}
	return out
}

func configs() map[string]*tls.Config {
	return map[string]*tls.Config{
		"a.test":           {ServerName: "a.test"},
		"xn--bcher-kva.de": {ServerName: "xn--bcher-kva.DE", MaxVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
		"":                 {InsecureSkipVerify: true, ServerName: "127.0.0.1"},
	}
}

func TestParse(t *testing.T) {
	for want, config := range configs() {
		b := hello(t, config)
		for i := range b {
			if name, need, err := Parse(b[:i]); name != "" || need <= i || err != nil {
				t.Fatalf("%d of %d bytes: %q, %d, %v", i, len(b), name, need, err)
			}
		}
		for _, whole := range [][]byte{b, append(bytes.Clone(b), "more"...), split(b, 1000), split(b, 1)} {
			if name, need, err := Parse(whole); name != want || need > len(whole) || err != nil {
				t.Errorf("%q, %d, %v, want %q", name, need, err, want)
			}
		}
	}
}

func TestMalformed(t *testing.T) {
	good := hello(t, &tls.Config{ServerName: "a.test"})
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	at := bytes.Index(good, []byte("a.test"))
	tests := map[string][]byte{
		"HTTP":                  []byte("GET / HTTP/1.1\r\n"),
		"an alert":              {21, 3, 1, 0, 2, 2, 40},
		"version 2":             change(func(b []byte) []byte { b[1] = 2; return b }),
		"an empty record":       {22, 3, 1, 0, 0},
		"a record too long":     {22, 3, 1, 0x40, 1},
		"a ServerHello":         change(func(b []byte) []byte { b[5] = 2; return b }),
		"too long":              append([]byte{22, 3, 1, 0, 4, 1, 1, 0, 0}, good...),
		"shorter than it says":  change(func(b []byte) []byte { b[8]++; return append(b, 22, 3, 1, 0, 1, 0) }),
		"a space in the name":   change(func(b []byte) []byte { b[at+1] = ' '; return b }),
		"a NUL in the name":     change(func(b []byte) []byte { b[at+1] = 0; return b }),
		"a final dot":           change(func(b []byte) []byte { b[at+5] = '.'; return b }),
		"an empty label":        change(func(b []byte) []byte { b[at] = '.'; return b }),
		"another type of name":  change(func(b []byte) []byte { b[at-3] = 1; return b }),
		"a name that is longer": change(func(b []byte) []byte { b[at-1]++; return b }),
		"a name that is empty":  change(func(b []byte) []byte { b[at-1] = 0; return b }),
		"a longer list":         change(func(b []byte) []byte { b[at-4]++; return b }),
	}
	for name, b := range tests {
		if got, need, err := Parse(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %q, %d, %v", name, got, need, err)
		}
	}
}

// beginning is a connection that gives at most size bytes for each read.
type beginning struct {
	bytes.Reader
	size int
	back []byte
}

func (b *beginning) Read(p []byte) (int, error)      { return b.Reader.Read(p[:min(b.size, len(p))]) }
func (b *beginning) Unread(p []byte)                 { b.back = append(b.back, p...) }
func (b *beginning) SetReadDeadline(time.Time) error { return nil }

func TestPeek(t *testing.T) {
	protocols := make([]string, 300) // so that it does not fit into the first buffer
	for i := range protocols {
		protocols[i] = strings.Repeat("x", 20)
	}
	sent := hello(t, &tls.Config{ServerName: "a.test", NextProtos: protocols})
	for _, size := range []int{1, 1000, 1 << 20} {
		c := &beginning{size: size}
		c.Reset(sent)
		if name, err := Peek(c, time.Now()); name != "a.test" || err != nil || !bytes.Equal(c.back, sent) {
			t.Errorf("reads of %d: %q, %v, %d bytes given back of %d", size, name, err, len(c.back), len(sent))
		}
	}
	c := &beginning{size: 100}
	c.Reset([]byte("GET / HTTP/1.1\r\n\r\n"))
	if _, err := Peek(c, time.Now()); !errors.Is(err, ErrMalformed) || len(c.back) == 0 {
		t.Errorf("%v, %q given back", err, c.back)
	}
	c.Reset(sent[:50])
	if _, err := Peek(c, time.Now()); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// FuzzParse holds the parser against crypto/tls: a ClientHello that both understand has the same name for both.
func FuzzParse(f *testing.F) {
	for _, config := range configs() {
		f.Add(hello(f, config))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		name, need, err := Parse(b)
		if need > MaxSize || err != nil && (!errors.Is(err, ErrMalformed) || name != "") {
			t.Fatalf("%q, %d, %v", name, need, err)
		}
		if err != nil || need > len(b) {
			return
		}
		if theirs, ok := nameByGo(b); ok && !strings.EqualFold(theirs, name) {
			t.Errorf("%q, but for crypto/tls %q", name, theirs)
		}
	})
}

var errSeen = errors.New("seen")

// nameByGo returns the name that crypto/tls finds.
func nameByGo(b []byte) (name string, ok bool) {
	c := &beginning{size: len(b)}
	c.Reset(b)
	_ = tls.Server(oneWay{c}, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name, ok = h.ServerName, true
		return nil, errSeen
	}}).Handshake()
	return name, ok
}

// oneWay is a connection whose peer reads nothing.
type oneWay struct{ io.Reader }

func (oneWay) Write(p []byte) (int, error)      { return len(p), nil }
func (oneWay) Close() error                     { return nil }
func (oneWay) LocalAddr() net.Addr              { return nil }
func (oneWay) RemoteAddr() net.Addr             { return nil }
func (oneWay) SetDeadline(time.Time) error      { return nil }
func (oneWay) SetReadDeadline(time.Time) error  { return nil }
func (oneWay) SetWriteDeadline(time.Time) error { return nil }
