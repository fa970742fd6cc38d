package http2

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// goServer is Go's server of HTTP/2 over TLS.
func goServer(t *testing.T, h http.HandlerFunc) (netip.AddrPort, *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	config := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos, config.ServerName = []string{"h2"}, "example.com"
	return netip.MustParseAddrPort(s.Listener.Addr().String()), config
}

// onTask runs f in a task and waits for it.
func onTask(l *loop.Loop, f func(t *loop.Task)) {
	done := make(chan struct{})
	l.Post(func() {
		l.Go(func(t *loop.Task) {
			defer close(done)
			f(t)
		})
	})
	<-done
}

// dialer connects to an address, with TLS if there is a configuration.
func dialer(addr netip.AddrPort, config *tls.Config) func(t *loop.Task) (Dialed, error) {
	return func(t *loop.Task) (Dialed, error) {
		raw, err := t.Dial(addr, time.Second)
		if err != nil || config == nil {
			return Dialed{raw, raw}, err
		}
		raw.Queue()
		secure := tls.Client(flushing{raw}, config)
		return Dialed{raw, secure}, secure.Handshake()
	}
}

func TestClient(t *testing.T) {
	sent := make([]byte, 3<<20)
	_, _ = rand.Read(sent)
	addr, config := goServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Got", r.Method+" "+r.Host+" "+r.RequestURI+" "+r.Header.Get("X-A")+" "+r.Header.Get("Te"))
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(201)
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sent"))
	})
	l := startLoop(t, func() { t.Error("a task panicked") })
	pool := &Pool{}
	onTask(l, func(task *loop.Task) {
		c, err := pool.Get(task, Key{Addr: addr}, 0, dialer(addr, config))
		if err != nil {
			t.Error(err)
			return
		}
		head := &Head{Method: "PUT", TLS: true, Authority: []byte("a.test"), Target: []byte("/x?y"), Length: -1, Trailers: true}
		head.Header.AddString("X-A", "1")
		head.Header.AddString("Trailer", "X-Sent")
		k := c.Do(head, false)
		defer k.Close()
		l.Go(func(*loop.Task) {
			if err := k.Write(sent); err != nil {
				t.Error(err)
			}
			if err := k.End(message.Header{{Name: []byte("x-sent"), Value: []byte("all")}}); err != nil {
				t.Error(err)
			}
		})
		r, err := k.Response()
		if err != nil {
			t.Error(err)
			return
		}
		if diff := cmp.Diff("201 PUT a.test /x?y 1 trailers", "201 "+string(r.Header.Get("x-got"))); diff != "" || r.Status != 201 {
			t.Error(r.Status, diff)
		}
		var got []byte
		for {
			p, err := k.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Error(err)
				return
			}
			got = append(got, p...)
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back of %d", len(got), len(sent))
		}
		if got := string(k.Trailer().Get("x-sum")); got != "all" {
			t.Errorf("trailer %q", got)
		}
	})
	on(l, pool.Close)
	eventually(t, "the connection ends", func() (none bool) {
		on(l, func() { none = pool.Connections() == 0 && l.Tasks() == 0 })
		return none
	})
}

// TestPoolShares opens more exchanges than one connection may have.
func TestPoolShares(t *testing.T) {
	wait := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-wait
		w.WriteHeader(204)
	}))
	server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 10}
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	addr := netip.MustParseAddrPort(server.Listener.Addr().String())
	l := startLoop(t, func() { t.Error("a task panicked") })
	pool := &Pool{}
	statuses := 0
	call := func(task *loop.Task) {
		c, err := pool.Get(task, Key{Addr: addr}, 0, dialer(addr, nil))
		if err != nil {
			t.Error(err)
			return
		}
		k := c.Do(&Head{Method: "GET", Authority: []byte("a.test"), Target: []byte("/")}, true)
		defer k.Close()
		if r, err := k.Response(); err != nil || r.Status != 204 || !k.Ended() {
			t.Error(r, err)
		}
		statuses++
	}
	on(l, func() { l.Go(call) })
	eventually(t, "the server's settings have come", func() (known bool) {
		on(l, func() {
			for _, r := range pool.routes {
				known = len(r.clients) == 1 && r.clients[0].peerStreams == 10
			}
		})
		return known
	})
	on(l, func() {
		for range 24 {
			l.Go(call)
		}
	})
	eventually(t, "all exchanges are open, on 3 connections", func() (yes bool) {
		on(l, func() {
			open := 0
			for _, r := range pool.routes {
				for _, c := range r.clients {
					open += c.Open()
				}
			}
			yes = open == 25 && pool.Connections() == 3
		})
		return yes
	})
	close(wait)
	eventually(t, "all are answered", func() (yes bool) {
		on(l, func() { yes = statuses == 25 })
		return yes
	})
	onTask(l, func(task *loop.Task) {
		_, err := pool.Get(task, Key{Addr: addr, Way: "bad"}, 0, func(*loop.Task) (Dialed, error) { return Dialed{}, io.ErrNoProgress })
		if !errors.Is(err, io.ErrNoProgress) || len(pool.routes) != 1 {
			t.Errorf("a failed dial: %v, %d routes", err, len(pool.routes))
		}
	})
}

// TestBadServers answers with frames that break the rules.
func TestBadServers(t *testing.T) {
	tests := []struct {
		name   string
		answer func(c *rawClient)
		want   string
	}{
		{"no status", func(c *rawClient) { c.request(1, true, "x-a", "1") }, "ErrAborted"},
		{"bad status", func(c *rawClient) { c.request(1, true, ":status", "20x") }, "ErrAborted"},
		{"bad field", func(c *rawClient) { c.request(1, true, ":status", "200", "x-a", "1\r\n2") }, "ErrAborted"},
		{"connection field", func(c *rawClient) { c.request(1, true, ":status", "200", "connection", "close") }, "ErrAborted"},
		{"101", func(c *rawClient) { c.request(1, false, ":status", "101") }, "ErrAborted"},
		{"body too short", func(c *rawClient) {
			c.request(1, false, ":status", "200", "content-length", "5")
			_ = c.WriteData(1, true, []byte("abc"))
		}, "ErrAborted"},
		{"push", func(c *rawClient) { c.raw(framePushPromise, flagEndHeaders, 1, "\x00\x00\x00\x02") }, "ErrClosed"},
		{"stream of the server's", func(c *rawClient) { c.request(2, true, ":status", "200") }, "ErrClosed"},
		{"refused", func(c *rawClient) { _ = c.WriteRSTStream(1, xhttp2.ErrCodeRefusedStream) }, "unprocessed"},
		{"not looked at", func(c *rawClient) { _ = c.WriteGoAway(0, xhttp2.ErrCodeNo, nil) }, "unprocessed"},
		{"gone", func(c *rawClient) { c.conn.Close() }, "ErrClosed"},
		{"silence", func(*rawClient) {}, "ErrTimeout"},
		{"interim responses", func(c *rawClient) {
			c.request(1, false, ":status", "103", "link", "</a>")
			c.request(1, false, ":status", "200")
			_ = c.WriteData(1, false, []byte("abc"))
			c.request(1, true, "x-sum", "1")
		}, "abc1"},
		{"response before the request ends", func(c *rawClient) {
			c.request(1, false, ":status", "200")
			_ = c.WriteData(1, true, []byte("abc"))
			_ = c.WriteRSTStream(1, xhttp2.ErrCodeNo)
		}, "abc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, func() { t.Error("a task panicked") })
			addr := badServer(t, tt.answer)
			onTask(l, func(task *loop.Task) {
				d, err := dialer(addr, nil)(task)
				if err != nil {
					t.Error(err)
					return
				}
				c := NewClient(task, d.Raw, d.Conn, Limits{}, nil)
				k := c.Do(&Head{Method: "POST", Authority: []byte("a.test"), Target: []byte("/"), Length: -1, Read: time.Second / 2}, false)
				defer k.Close()
				if got := result(k); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// result returns the body with the trailer, or the error.
func result(k *Call) string {
	_, err := k.Response()
	var body strings.Builder
	for err == nil {
		var p []byte
		p, err = k.Read()
		body.Write(p)
	}
	switch {
	case errors.Is(err, io.EOF):
		return body.String() + string(k.Trailer().Get("x-sum"))
	case Unprocessed(err):
		return "unprocessed"
	case errors.Is(err, ErrAborted):
		return "ErrAborted"
	case errors.Is(err, ErrClosed):
		return "ErrClosed"
	case errors.Is(err, ErrTimeout):
		return "ErrTimeout"
	}
	return err.Error()
}

// badServer answers the first request of one connection.
func badServer(t *testing.T, answer func(c *rawClient)) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.ReadFull(conn, make([]byte, len(Preface))); err != nil {
			return
		}
		c := &rawClient{t: t, conn: conn, Framer: xhttp2.NewFramer(conn, conn)}
		c.AllowIllegalWrites = true
		c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		c.encoder = newEncoder(c)
		_ = c.WriteSettings()
		for {
			f, err := c.ReadFrame()
			if err != nil {
				return
			}
			if _, ok := f.(*xhttp2.MetaHeadersFrame); ok {
				answer(c)
			}
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String())
}

// TestSenderIsPatient sends for longer than the server may be silent.
func TestSenderIsPatient(t *testing.T) {
	addr, config := goServer(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.WriteHeader(200 + int(n))
	})
	l := startLoop(t, func() { t.Error("a task panicked") })
	onTask(l, func(task *loop.Task) {
		d, err := dialer(addr, config)(task)
		if err != nil {
			t.Error(err)
			return
		}
		c := NewClient(task, d.Raw, d.Conn, Limits{}, nil)
		k := c.Do(&Head{Method: "POST", TLS: true, Authority: []byte("a.test"), Target: []byte("/"), Length: -1, Read: 200 * time.Millisecond}, false)
		l.Go(func(sender *loop.Task) {
			for range 7 {
				if err := k.Write([]byte("x")); err != nil {
					t.Error(err)
				}
				sender.Sleep(80 * time.Millisecond)
			}
			_ = k.End(nil)
		})
		if r, err := k.Response(); err != nil || r.Status != 207 {
			t.Errorf("%v, %v", r, err)
		}
		k.Close()
		k = c.Do(&Head{Method: "POST", TLS: true, Authority: []byte("a.test"), Target: []byte("/"), Length: -1, Read: 200 * time.Millisecond}, false)
		if _, err := k.Response(); !errors.Is(err, ErrTimeout) {
			t.Errorf("without data: %v", err)
		}
		c.Close()
	})
}
