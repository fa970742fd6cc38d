package http2

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	xhttp2 "golang.org/x/net/http2"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// TestFlowControl gives windows bit by bit, and expects no byte more.
func TestFlowControl(t *testing.T) {
	body := strings.Repeat("0123456789", 10<<10)
	s := serve(t, Limits{}, nil, func(_ *loop.Task, s message.Stream) { respond(s, 200, body) })
	c := dialRaw(t, s)
	_ = c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 10})
	c.request(1, true, get()...)
	got := c.data(10)
	_ = c.WriteWindowUpdate(1, 5)
	got += c.data(5)
	_ = c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0}) // now it is 10 too many
	_ = c.WriteWindowUpdate(1, 10)
	if err := c.alive(); err != nil {
		t.Fatal(err)
	}
	_ = c.WriteWindowUpdate(1, uint32(len(body)))
	got += c.data(initialWindow - 15) // the connection's window is the limit now
	_ = c.WriteWindowUpdate(0, uint32(len(body)))
	got += c.data(len(body) - initialWindow)
	if got != body {
		t.Error("the body is another one")
	}
}

// data reads DATA until there are n bytes, of which none may be more.
func (c *rawClient) data(n int) string {
	c.t.Helper()
	var got []byte
	for len(got) < n {
		f, err := c.ReadFrame()
		if err != nil {
			c.t.Fatalf("after %d of %d bytes: %v", len(got), n, err)
		}
		if d, ok := f.(*xhttp2.DataFrame); ok {
			got = append(got, d.Data()...)
			c.ended = d.StreamEnded()
		}
	}
	if len(got) > n {
		c.t.Fatalf("%d bytes where the window is %d", len(got), n)
	}
	return string(got)
}

// TestWindowsOfRequests sends more than the windows that are given.
func TestWindowsOfRequests(t *testing.T) {
	wait := make(chan struct{})
	limits := Limits{StreamWindow: 100 << 10, ConnWindow: 150 << 10}
	s := serve(t, limits, nil, func(task *loop.Task, s message.Stream) {
		task.Await(func() { <-wait })
		answerAll(task, s)
	})
	t.Cleanup(func() { close(wait) })
	piece := make([]byte, 10<<10)
	stream := dialRaw(t, s)
	stream.request(1, false, post()...)
	for range 10 {
		_ = stream.WriteData(1, false, piece)
	}
	if err := stream.alive(); err != nil {
		t.Fatal(err)
	}
	_ = stream.WriteData(1, false, piece)
	if got := stream.outcome(); got != "RST FLOW_CONTROL_ERROR" {
		t.Errorf("more than the stream's window: %s", got)
	}
	conn := dialRaw(t, s)
	for id := uint32(1); id <= 3; id += 2 {
		conn.request(id, false, post()...)
		for range 8 {
			_ = conn.WriteData(id, false, piece)
		}
	}
	if got := conn.outcome(); got != "GOAWAY FLOW_CONTROL_ERROR" {
		t.Errorf("more than the connection's window: %s", got)
	}
}

// TestConnectionWindowIsGivenBack has many requests whose bodies no one reads to the end.
func TestConnectionWindowIsGivenBack(t *testing.T) {
	s := serve(t, Limits{}, nil, func(task *loop.Task, s message.Stream) {
		switch s.Request().Header.Get("x-do")[0] {
		case 'a':
			s.Abort()
		case 'r':
			respond(s, 200, "")
		case 'w': // until it is reset
			for {
				if _, err := s.Read(); err != nil {
					return
				}
				task.Sleep(time.Millisecond)
			}
		}
	})
	c := dialRaw(t, s)
	window := 1 << 20
	for i := range uint32(150) {
		id, end := 2*i+1, i%2 == 0
		c.request(id, false, post("x-do", []string{"abort", "respond", "wait"}[i%3])...)
		for window < 40<<10 { // a window of the connection that is lost is waited for in vain
			f, err := c.ReadFrame()
			if err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
			if f, ok := f.(*xhttp2.WindowUpdateFrame); ok && f.StreamID == 0 {
				window += int(f.Increment)
			}
		}
		_ = c.WriteDataPadded(id, false, make([]byte, 10<<10), make([]byte, 100))
		_ = c.WriteData(id, false, make([]byte, 10<<10))
		_ = c.WriteData(id, end, make([]byte, 10<<10))
		_ = c.WriteRSTStream(id, xhttp2.ErrCodeCancel)
		window -= 30<<10 + 101
	}
}

func TestContentLength(t *testing.T) {
	s := serve(t, Limits{}, nil, answerAll)
	tests := []struct {
		name   string
		pieces []string
		want   string
	}{
		{"right", []string{"ab", "", "c"}, "200"},
		{"too short", []string{"ab"}, "RST PROTOCOL_ERROR"},
		{"too long", []string{"ab", "cd"}, "RST PROTOCOL_ERROR"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dialRaw(t, s)
			c.request(1, false, post("content-length", "3")...)
			for i, p := range tt.pieces {
				_ = c.WriteData(1, i == len(tt.pieces)-1, []byte(p))
			}
			if got := c.outcome(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestExpectContinue(t *testing.T) {
	s := serve(t, Limits{}, nil, func(task *loop.Task, s message.Stream) {
		if string(s.Request().Target) == "/unread" {
			respond(s, 403, "")
			return
		}
		copyBody(task, s)
	})
	c := dialRaw(t, s)
	c.request(1, false, append(post("expect", "100-continue"), "content-length", "2")...)
	f, err := c.ReadFrame()
	if f, ok := f.(*xhttp2.MetaHeadersFrame); !ok || f.PseudoValue("status") != "200" {
		// copyBody responds before it reads: then there is no 100.
		t.Fatalf("%v, %v", f, err)
	}
	_ = c.WriteData(1, true, []byte("ok"))
	if got := c.data(2); got != "ok" {
		t.Errorf("body %q", got)
	}
	answer := serve(t, Limits{}, nil, answerAll)
	c = dialRaw(t, answer)
	c.request(1, false, post("expect", "100-continue")...)
	if f, _ := c.ReadFrame(); f.(*xhttp2.MetaHeadersFrame).PseudoValue("status") != "100" {
		t.Errorf("%v instead of 100", f)
	}
	_ = c.WriteData(1, true, []byte("ok"))
	if got := c.outcome(); got != "200" {
		t.Errorf("got %s", got)
	}
}

func TestCookiesAreJoined(t *testing.T) {
	var got message.Header
	s := serve(t, Limits{}, nil, func(_ *loop.Task, s message.Stream) {
		for _, f := range s.Request().Header {
			got.AddString(string(f.Name), string(f.Value))
		}
		respond(s, 200, "")
	})
	c := dialRaw(t, s)
	c.request(1, true, get("cookie", "a=1", "x-a", "2", "cookie", "b=3", "cookie", "c=4", "te", "trailers")...)
	c.outcome()
	want := message.Header{{Name: []byte("cookie"), Value: []byte("a=1; b=3; c=4")}, {Name: []byte("x-a"), Value: []byte("2")}}
	on(s.loop, func() {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestWebSocket opens a tunnel as RFC 8441 says, to a handler that knows upgrades of HTTP/1.1 only.
func TestWebSocket(t *testing.T) {
	handler := func(_ *loop.Task, s message.Stream) {
		r := s.Request()
		sum := sha1.Sum([]byte(string(r.Header.Get("Sec-WebSocket-Key")) + acceptGUID))
		answer := message.Response{Status: 101, Length: -1}
		if string(r.Target) == "/wrong" {
			sum[0]++
		}
		answer.Header.AddString("Upgrade", r.Upgrade)
		answer.Header.AddString("Connection", "Upgrade")
		answer.Header.AddString("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
		answer.Header.AddString("Sec-WebSocket-Protocol", "chat")
		if r.Method != "GET" || s.Respond(&answer, false) != nil || s.Hijack() != nil {
			return
		}
		for {
			p, err := s.Read()
			if errors.Is(err, io.EOF) {
				_ = s.Write([]byte("bye"))
				_ = s.End(nil)
				return
			}
			if err != nil || s.Write(bytes.ToUpper(p)) != nil || s.Flush() != nil {
				return
			}
		}
	}
	s := serve(t, Limits{Read: 50 * time.Millisecond}, nil, handler)
	connect := func(c *rawClient, id uint32, path string) {
		c.request(id, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a.test", ":path", path,
			"sec-websocket-version", "13", "sec-websocket-protocol", "chat")
	}
	c := dialRaw(t, s)
	connect(c, 1, "/chat")
	f, err := c.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]string)
	for _, field := range f.(*xhttp2.MetaHeadersFrame).Fields {
		fields[field.Name] = field.Value
	}
	if diff := cmp.Diff(map[string]string{":status": "200", "sec-websocket-protocol": "chat"}, fields); diff != "" {
		t.Error(diff)
	}
	for range 3 {
		_ = c.WriteData(1, false, []byte("hello"))
		if got := c.data(5); got != "HELLO" {
			t.Errorf("got %q", got)
		}
		time.Sleep(60 * time.Millisecond) // longer than a body may be silent: a tunnel may
	}
	_ = c.WriteData(1, true, nil)
	if got := c.data(3); got != "bye" {
		t.Errorf("got %q after the end of our side", got)
	}
	if !c.ended {
		t.Error("the tunnel does not end")
	}
	connect(c, 3, "/wrong")
	if got := c.outcome(); got != "502" {
		t.Errorf("an answer to another key: %s", got)
	}
}

func TestDrain(t *testing.T) {
	s := serve(t, Limits{}, nil, copyBody)
	c := dialRaw(t, s)
	c.request(1, false, post()...)
	c.ReadFrame() // its response has begun
	on(s.loop, func() {
		for conn := range s.conns {
			conn.Drain()
		}
	})
	first, _ := c.ReadFrame()
	if f, ok := first.(*xhttp2.GoAwayFrame); !ok || f.LastStreamID != maxWindow || f.ErrCode != xhttp2.ErrCodeNo {
		t.Fatalf("first %v", first)
	}
	c.request(3, true, get()...)
	if got := c.outcome(); got != "200" {
		t.Errorf("a request that was on its way: %s", got)
	}
	second, _ := c.ReadFrame()
	if f, ok := second.(*xhttp2.GoAwayFrame); !ok || f.LastStreamID != 3 || f.ErrCode != xhttp2.ErrCodeNo {
		t.Fatalf("second %v", second)
	}
	c.request(5, true, get()...) // too late: no answer
	_ = c.WriteData(1, true, []byte("the end"))
	if got := c.data(7); got != "the end" {
		t.Errorf("the exchange that was open: %q", got)
	}
	if !c.ended {
		t.Error("the exchange that was open does not end")
	}
	if got := c.outcome(); got != "closed" {
		t.Errorf("not closed, but %s", got)
	}
}

func TestClientLeaves(t *testing.T) {
	var reason error
	s := serve(t, Limits{}, nil, func(_ *loop.Task, s message.Stream) {
		for reason == nil {
			_, reason = s.Read()
		}
	})
	c := dialRaw(t, s)
	c.request(1, false, post()...)
	_ = c.WriteRSTStream(1, xhttp2.ErrCodeCancel)
	if err := c.alive(); err != nil {
		t.Fatal(err)
	}
	on(s.loop, func() {
		if !errors.Is(reason, ResetError{codeCancel}) {
			t.Errorf("after RST_STREAM: %v", reason)
		}
		reason = nil
	})
	c.request(3, false, post()...)
	if err := c.alive(); err != nil {
		t.Fatal(err)
	}
	c.conn.Close()
	eventually(t, "the request fails", func() (failed bool) {
		on(s.loop, func() { failed = errors.Is(reason, ErrClosed) && len(s.conns) == 0 })
		return failed
	})
}

// TestIdleConnectionsAreSmall looks at what a connection keeps after large requests.
func TestIdleConnectionsAreSmall(t *testing.T) {
	s := serve(t, Limits{}, nil, answerAll)
	c := dialRaw(t, s)
	for id := uint32(1); id < 20; id += 2 {
		c.request(id, false, post()...)
		_ = c.WriteData(id, true, make([]byte, maxFrameSize))
		if got := c.outcome(); got != "200" {
			t.Fatal(got)
		}
	}
	var conn *Conn
	on(s.loop, func() {
		for conn = range s.conns {
			if len(conn.buf) != largeBuffer || len(conn.free) == 0 {
				t.Errorf("%d bytes, %d exchanges", len(conn.buf), len(conn.free))
			}
			conn.heard = conn.heard.Add(-restAfter)
			conn.hurry()
		}
	})
	eventually(t, "the buffers are given up", func() (small bool) {
		on(s.loop, func() { small = len(conn.buf)+cap(conn.out)+cap(conn.flight) == smallBuffer && len(conn.free) == 0 })
		return small
	})
	c.request(21, true, get()...)
	if got := c.outcome(); got != "200" {
		t.Error(got)
	}
}
