package http2

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// FuzzFrames sends bytes after the preface. Whatever they are, no task panics, requests are well-formed, and all ends with the
// connection.
func FuzzFrames(f *testing.F) {
	var b bytes.Buffer
	c := &rawClient{t: f, Framer: xhttp2.NewFramer(&b, nil)}
	c.encoder = newEncoder(c)
	seed := func(write func()) {
		b.Reset()
		_ = c.WriteSettings()
		write()
		f.Add(bytes.Clone(b.Bytes()))
	}
	seed(func() { c.request(1, true, get("cookie", "a=1", "cookie", "b=2")...) })
	seed(func() {
		c.request(1, false, post("content-length", "5", "expect", "100-continue")...)
		_ = c.WriteDataPadded(1, false, []byte("hello"), []byte{0, 0})
		c.request(1, true, "x-sum", "1")
	})
	seed(func() {
		block := c.block(get()...)
		c.headers(1, false, false, block[:4])
		_ = c.WriteContinuation(1, true, block[4:])
		_ = c.WriteRSTStream(1, 8)
		_ = c.WriteWindowUpdate(0, 5)
		_ = c.WritePing(false, [8]byte{})
		_ = c.WriteSettings(xhttp2.Setting{ID: 4, Val: 0}, xhttp2.Setting{ID: 1, Val: 0})
		_ = c.WriteGoAway(0, 0, nil)
	})
	seed(func() {
		c.request(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a.test", ":path", "/")
		_ = c.WriteData(1, true, []byte("x"))
	})
	s := serve(f, Limits{Idle: time.Second, Header: time.Second}, nil, func(task *loop.Task, s message.Stream) {
		checkRequest(f, s.Request())
		copyBody(task, s)
	})
	f.Fuzz(func(t *testing.T, frames []byte) {
		conn, err := net.Dial("tcp", s.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		go func() {
			_, _ = conn.Write(append([]byte(Preface), frames...))
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
			t.Errorf("the connection does not end: %v", err)
		}
		on(s.loop, func() {
			if s.panics > 0 {
				t.Error("a task panicked")
			}
		})
	})
}

func isTimeout(err error) bool {
	failure, ok := err.(net.Error) //nolint:errorlint // of the net package itself
	return ok && failure.Timeout()
}

// checkRequest holds a request against what the front promises.
func checkRequest(t testing.TB, r *message.Request) {
	if r.Host == "" || r.Method == "" || len(r.Target) == 0 {
		t.Errorf("a request without method, target or host: %+v", r)
	}
	for _, f := range r.Header {
		if len(f.Name) == 0 || bytes.ContainsAny(f.Name, "\r\n\x00 :") || bytes.ContainsAny(f.Value, "\r\n\x00") || connectionSpecific(f.Name) {
			t.Errorf("field %q: %q", f.Name, f.Value)
		}
	}
	if bytes.ContainsAny(r.Target, "\r\n\x00 #") || bytes.ContainsAny(r.Authority, "\r\n\x00 /@") {
		t.Errorf("target %q of %q", r.Target, r.Authority)
	}
}

// FuzzResponses has a server send bytes to a client. Whatever they are, no task panics, what comes of them is well-formed, and the
// exchange ends.
func FuzzResponses(f *testing.F) {
	var b bytes.Buffer
	c := &rawClient{t: f, Framer: xhttp2.NewFramer(&b, nil)}
	c.encoder = newEncoder(c)
	seed := func(write func()) {
		b.Reset()
		_ = c.WriteSettings()
		write()
		f.Add(bytes.Clone(b.Bytes()))
	}
	seed(func() { c.request(1, true, ":status", "204", "x-a", "b") })
	seed(func() {
		c.request(1, false, ":status", "103", "link", "</a>")
		c.request(1, false, ":status", "200", "content-length", "5")
		_ = c.WriteDataPadded(1, false, []byte("hello"), []byte{0, 0})
		c.request(1, true, "x-sum", "1")
	})
	seed(func() {
		_ = c.WriteGoAway(0, 0, nil)
		_ = c.WriteRSTStream(1, 7)
		_ = c.WriteWindowUpdate(1, 5)
		_ = c.WriteSettings(xhttp2.Setting{ID: 3, Val: 1})
	})
	panics := 0
	l := startLoop(f, func() { panics++ })
	f.Fuzz(func(t *testing.T, frames []byte) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = conn.Write(frames)
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		}()
		onTask(l, func(task *loop.Task) {
			d, err := dialer(listener.Addr().(*net.TCPAddr).AddrPort(), nil)(task)
			if err != nil {
				t.Error(err)
				return
			}
			c := NewClient(task, d.Raw, d.Conn, Limits{}, nil)
			k := c.Do(&Head{Method: "POST", Authority: []byte("a.test"), Target: []byte("/"), Read: 4 * time.Second}, false)
			defer k.Close()
			_ = k.Write([]byte("hello"))
			if got := result(k); got == "ErrTimeout" {
				t.Error("the exchange does not end")
			}
			checkResponse(t, &k.response, k.Trailer())
			c.Close()
		})
		on(l, func() {
			if panics > 0 {
				t.Error("a task panicked")
			}
		})
	})
}

// checkResponse holds a response against what the client promises.
func checkResponse(t testing.TB, r *message.Response, trailer message.Header) {
	if r.Status != 0 && (r.Status < 200 || r.Status > 999) || r.Length < -1 {
		t.Errorf("status %d, length %d", r.Status, r.Length)
	}
	for _, h := range []message.Header{r.Header, trailer} {
		for _, f := range h {
			if len(f.Name) == 0 || bytes.ContainsAny(f.Name, "\r\n\x00 :") || bytes.ContainsAny(f.Value, "\r\n\x00") || connectionSpecific(f.Name) {
				t.Errorf("field %q: %q", f.Name, f.Value)
			}
		}
	}
}
