package http2

import (
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// flood is more of something than a peer has reason to send.
type flood struct {
	name string
	send func(c *rawClient)
}

func floods() []flood {
	many := func(send func(c *rawClient, i int)) func(c *rawClient) {
		return func(c *rawClient) {
			go func() { // what is answered has to be read
				for i := range 4 * overheadLimit {
					send(c, i)
				}
			}()
		}
	}
	return []flood{
		{"rapid reset", many(func(c *rawClient, i int) {
			c.request(uint32(2*i+1), true, get()...)
			_ = c.WriteRSTStream(uint32(2*i+1), xhttp2.ErrCodeCancel)
		})},
		{"resets that are provoked", many(func(c *rawClient, i int) {
			c.request(uint32(2*i+1), false, post()...)
			_ = c.WriteWindowUpdate(uint32(2*i+1), 0)
		})},
		{"malformed requests", many(func(c *rawClient, i int) { c.request(uint32(2*i+1), true, get("te", "x")...) })},
		{"too many streams", many(func(c *rawClient, i int) { c.request(uint32(2*i+1), false, post()...) })},
		{"large requests", many(func(c *rawClient, i int) {
			c.request(uint32(2*i+1), true, get("x-a", strings.Repeat("a", 33<<10))...)
		})},
		{"CONTINUATION", func(c *rawClient) {
			c.headers(1, true, false, c.block(get()...))
			for range 100 {
				_ = c.WriteContinuation(1, false, nil)
			}
		}},
		{"CONTINUATION with fields", func(c *rawClient) {
			c.headers(1, true, false, c.block(get()...))
			field := c.block("x-a", strings.Repeat("&", 16000)) // as long encoded
			for range 5 {
				_ = c.WriteContinuation(1, false, field)
			}
		}},
		{"HPACK bomb", func(c *rawClient) {
			c.request(1, true, get("x-a", strings.Repeat("a", 3900))...)
			block := append(c.block(get()...), strings.Repeat("\xbe", 16000)...) // the newest field again and again
			c.headers(3, true, true, block)
		}},
		{"PING", many(func(c *rawClient, _ int) { _ = c.WritePing(false, [8]byte{}) })},
		{"SETTINGS", many(func(c *rawClient, _ int) { _ = c.WriteSettings() })},
		{"PRIORITY", many(func(c *rawClient, _ int) { _ = c.WritePriority(1, xhttp2.PriorityParam{StreamDep: 3}) })},
		{"WINDOW_UPDATE", many(func(c *rawClient, _ int) { _ = c.WriteWindowUpdate(0, 1) })},
		{"unknown frames", many(func(c *rawClient, _ int) { c.raw(0x42, 0, 0, "") })},
		{"empty DATA", many(func(c *rawClient, i int) {
			if i == 0 {
				c.request(1, false, post()...)
			}
			_ = c.WriteData(1, false, nil)
		})},
		{"DATA after the end", many(func(c *rawClient, i int) {
			if i == 0 {
				c.request(1, true, get()...)
			}
			_ = c.WriteData(1, false, []byte("x"))
		})},
	}
}

// TestFloods sends more of what costs us work than a peer has reason to, and expects the connection to end.
func TestFloods(t *testing.T) {
	const calm = "GOAWAY ENHANCE_YOUR_CALM"
	running, most := 0, 0
	s := serve(t, Limits{}, nil, func(task *loop.Task, s message.Stream) {
		running++
		most = max(most, running)
		defer func() { running-- }()
		answerAll(task, s)
	})
	for _, tt := range floods() {
		t.Run(tt.name, func(t *testing.T) {
			c := dialRaw(t, s)
			tt.send(c)
			got := ""
			for !strings.HasPrefix(got, "GOAWAY") && got != "closed" && !strings.Contains(got, "silence") {
				got = c.outcome()
			}
			if got != calm {
				t.Errorf("got %s, want %s", got, calm)
			}
		})
	}
	eventually(t, "all tasks end", func() (none bool) {
		on(s.loop, func() { none = running == 0 && len(s.conns) == 0 })
		return none
	})
	on(s.loop, func() {
		if most > 2*128 {
			t.Errorf("%d requests at the same time", most)
		}
	})
}

// TestUsefulFramesAreNoFlood does much of what is limited, but with exchanges in between.
func TestUsefulFramesAreNoFlood(t *testing.T) {
	s := serve(t, Limits{Requests: 1 << 20}, nil, func(_ *loop.Task, s message.Stream) { respond(s, 200, strings.Repeat("x", 1000)) })
	c := dialRaw(t, s)
	for i := range uint32(3 * overheadLimit) {
		c.request(2*i+1, true, get()...)
		if got := c.outcome(); got != "200" {
			t.Fatalf("request %d: %s", i, got)
		}
		_ = c.WriteWindowUpdate(0, 1000)
	}
}

func TestHeaderLimit(t *testing.T) {
	s := serve(t, Limits{HeaderList: 8 << 10}, nil, answerAll)
	c := dialRaw(t, s)
	for i, tt := range []struct {
		size int
		want string
	}{{7 << 10, "200"}, {8 << 10, "431"}, {12 << 10, "431"}, {100, "200"}} {
		c.request(uint32(2*i+1), true, get("x-a", strings.Repeat("a", tt.size))...)
		if got := c.outcome(); got != tt.want {
			t.Errorf("%d bytes: got %s, want %s", tt.size, got, tt.want)
		}
	}
	c.request(9, false, post("x-a", strings.Repeat("a", 9<<10))...)
	if got := c.outcome(); got != "431" {
		t.Errorf("with a body to come: got %s", got)
	}
	if got := c.outcome(); got != "RST NO_ERROR" {
		t.Errorf("with a body to come: got %s", got)
	}
	_ = c.WriteData(9, true, []byte("on its way"))
	if err := c.alive(); err != nil {
		t.Error(err)
	}
}

// TestSilence lets each kind of patience run out.
func TestSilence(t *testing.T) {
	limits := Limits{Idle: 300 * time.Millisecond, Header: 200 * time.Millisecond, Read: 250 * time.Millisecond, Send: 250 * time.Millisecond, Ping: 100 * time.Millisecond}
	large := func(_ *loop.Task, s message.Stream) {
		if s.Request().Method == "GET" {
			respond(s, 200, strings.Repeat("x", 1<<20))
			return
		}
		_, _ = s.Read()
	}
	s := serve(t, limits, nil, large)
	tests := []struct {
		name string
		send func(c *rawClient)
		want string
	}{
		{"idle", func(*rawClient) {}, "GOAWAY NO_ERROR"},
		{"half a frame", func(c *rawClient) { _, _ = c.conn.Write([]byte{0, 0, 5}) }, "GOAWAY NO_ERROR"},
		{"half a field section", func(c *rawClient) { c.headers(1, true, false, c.block(get()...)) }, "GOAWAY NO_ERROR"},
		{"a body that does not come", func(c *rawClient) {
			c.request(1, false, post()...)
			go answerPings(c)
		}, "RST CANCEL"},
		{"no window for the response", func(c *rawClient) {
			c.request(1, true, get()...)
			go answerPings(c)
		}, "200 RST CANCEL"},
		{"no answer to PING", func(c *rawClient) {
			on(s.loop, func() {
				for conn := range s.conns {
					conn.limits.Read, conn.limits.Idle = time.Minute, 100*time.Millisecond
				}
			})
			c.request(1, false, post()...)
		}, "GOAWAY NO_ERROR"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dialRaw(t, s)
			tt.send(c)
			if got := c.outcome(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// answerPings shows that the client is there, for a second.
func answerPings(c *rawClient) {
	for range 20 {
		_ = c.WritePing(true, [8]byte{})
		time.Sleep(50 * time.Millisecond)
	}
}

func TestPrefaceMissing(t *testing.T) {
	s := serve(t, Limits{Header: 200 * time.Millisecond}, nil, answerAll)
	for _, preface := range []string{"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "", "PRI * HTTP/2.0\r\n"} {
		c := connectRaw(t, s)
		_, _ = c.conn.Write([]byte(preface))
		if got := c.outcome(); got != "closed" && got != "GOAWAY PROTOCOL_ERROR" {
			t.Errorf("%q: %s", preface, got)
		}
	}
	c := connectRaw(t, s)
	_, _ = c.conn.Write([]byte(Preface))
	_ = c.WritePing(false, [8]byte{})
	if got := c.outcome(); got != "GOAWAY PROTOCOL_ERROR" {
		t.Errorf("PING before SETTINGS: %s", got)
	}
}
