package http2

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// answerAll reads the body and answers 200.
func answerAll(_ *loop.Task, s message.Stream) {
	for {
		if _, err := s.Read(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return
		}
	}
	respond(s, 200, "fine")
}

// conformance is what a client sends, and what has to come of it.
type conformance struct {
	name string
	send func(c *rawClient)
	want string
}

const ok, protocol, frameSize = "200", "GOAWAY PROTOCOL_ERROR", "GOAWAY FRAME_SIZE_ERROR"

// framesAndFields are the cases of sections 4.
func framesAndFields() []conformance {
	return []conformance{
		{"4.1 unknown frame", func(c *rawClient) { c.raw(0x42, 0xff, 0, "abc"); c.request(1, true, get()...) }, ok},
		{"4.1 reserved bit", func(c *rawClient) { c.request(1|1<<31, true, get()...) }, ok},
		{"4.1 undefined flags", func(c *rawClient) { c.raw(framePing, 0xfe, 0, "12345678") }, "PONG"},
		{"4.2 frame too large", func(c *rawClient) { c.raw(frameData, 0, 1, strings.Repeat("x", maxFrameSize+1)) }, frameSize},
		{"4.2 largest frame", func(c *rawClient) {
			c.request(1, false, post()...)
			_ = c.WriteData(1, true, make([]byte, maxFrameSize))
		}, ok},
		{"4.3 bad compression", func(c *rawClient) { c.headers(1, true, true, []byte("\xff\xff\xff\xff\xff\xff\xff")) }, "GOAWAY COMPRESSION_ERROR"},
		{"4.3 unfinished field", func(c *rawClient) { c.headers(1, true, true, []byte{0x40, 5, 'a'}) }, "GOAWAY COMPRESSION_ERROR"},
		{"4.3 other frame in a section", func(c *rawClient) {
			c.headers(1, true, false, c.block(get()...))
			_ = c.WritePriority(1, xhttp2.PriorityParam{})
		}, protocol},
		{"4.3 other stream in a section", func(c *rawClient) {
			c.headers(1, true, false, c.block(get()...))
			_ = c.WriteContinuation(3, true, nil)
		}, protocol},
	}
}

// streamStates are the cases of section 5.1.
func streamStates() []conformance {
	return []conformance{
		{"5.1 idle: DATA", func(c *rawClient) { _ = c.WriteData(1, true, nil) }, protocol},
		{"5.1 idle: RST_STREAM", func(c *rawClient) { _ = c.WriteRSTStream(1, 8) }, protocol},
		{"5.1 idle: WINDOW_UPDATE", func(c *rawClient) { _ = c.WriteWindowUpdate(1, 8) }, protocol},
		{"5.1 idle: PRIORITY", func(c *rawClient) {
			_ = c.WritePriority(1, xhttp2.PriorityParam{StreamDep: 3})
			c.request(1, true, get()...)
		}, ok},
		{"5.1 half closed: DATA", func(c *rawClient) {
			c.request(1, true, get("x-wait", "1")...)
			_ = c.WriteData(1, true, []byte("x"))
		}, "RST STREAM_CLOSED"},
		{"5.1 half closed: HEADERS", func(c *rawClient) {
			c.request(1, true, get("x-wait", "1")...)
			c.request(1, true, get()...)
		}, "GOAWAY STREAM_CLOSED"},
		{"5.1 closed: DATA", func(c *rawClient) {
			c.request(1, true, get()...)
			c.outcome()
			_ = c.WriteData(1, true, []byte("x"))
		}, "RST STREAM_CLOSED"},
		{"5.1 closed: HEADERS", func(c *rawClient) {
			c.request(1, true, get()...)
			c.outcome()
			c.request(1, true, get()...)
		}, "GOAWAY STREAM_CLOSED"},
		{"5.1 closed: WINDOW_UPDATE, RST_STREAM, PRIORITY", func(c *rawClient) {
			c.request(1, true, get()...)
			c.outcome()
			_ = c.WriteWindowUpdate(1, 1)
			_ = c.WriteRSTStream(1, 8)
			_ = c.WritePriority(1, xhttp2.PriorityParam{})
			c.request(3, true, get()...)
		}, ok},
		{"5.1.1 even stream", func(c *rawClient) { c.request(2, true, get()...) }, protocol},
		{"5.1.1 lower stream", func(c *rawClient) { c.request(5, true, get()...); c.outcome(); c.request(3, true, get()...) }, protocol},
	}
}

// dataToReset are the cases of sections 6.1 to 6.4.
func dataToReset() []conformance {
	return []conformance{
		{"6.1 DATA on no stream", func(c *rawClient) { _ = c.WriteData(0, true, nil) }, protocol},
		{"6.1 padding too long", func(c *rawClient) {
			c.request(1, false, post()...)
			c.raw(frameData, flagPadded, 1, "\x05abc")
		}, protocol},
		{"6.1 padding", func(c *rawClient) {
			c.request(1, false, post("content-length", "3")...)
			c.raw(frameData, flagPadded|flagEndStream, 1, "\x02abc\x00\x00")
		}, ok},
		{"6.1 padded and empty", func(c *rawClient) { c.request(1, false, post()...); c.raw(frameData, flagPadded, 1, "") }, frameSize},
		{"6.2 HEADERS on no stream", func(c *rawClient) { c.request(0, true, get()...) }, protocol},
		{"6.2 padding too long", func(c *rawClient) { c.raw(frameHeaders, flagPadded|flagEndHeaders, 1, "\x09abc") }, protocol},
		{"6.2 padding and priority", func(c *rawClient) {
			c.raw(frameHeaders, flagPadded|flagPriority|flagEndHeaders|flagEndStream, 1,
				"\x01\x00\x00\x00\x00\x10"+string(c.block(get()...))+"\x00")
		}, ok},
		{"6.2 priority without room", func(c *rawClient) { c.raw(frameHeaders, flagPriority|flagEndHeaders, 1, "abc") }, frameSize},
		{"6.3 PRIORITY on no stream", func(c *rawClient) { c.raw(framePriority, 0, 0, "abcde") }, protocol},
		{"6.3 PRIORITY of another size", func(c *rawClient) { c.raw(framePriority, 0, 1, "abcd") }, frameSize},
		{"6.4 RST_STREAM on no stream", func(c *rawClient) { c.raw(frameReset, 0, 0, "abcd") }, protocol},
		{"6.4 RST_STREAM of another size", func(c *rawClient) { c.request(1, false, post()...); c.raw(frameReset, 0, 1, "abc") }, frameSize},
	}
}

// settingsFrames are the cases of section 6.5.
func settingsFrames() []conformance {
	return []conformance{
		{"6.5 SETTINGS on a stream", func(c *rawClient) { c.raw(frameSettings, 0, 1, "") }, protocol},
		{"6.5 SETTINGS of another size", func(c *rawClient) { c.raw(frameSettings, 0, 0, "abc") }, frameSize},
		{"6.5 ACK with a payload", func(c *rawClient) { c.raw(frameSettings, flagAck, 0, "abcdef") }, frameSize},
		{"6.5.2 push neither 0 nor 1", func(c *rawClient) { _ = c.WriteSettings(xhttp2.Setting{ID: 2, Val: 2}) }, protocol},
		{"6.5.2 window too large", func(c *rawClient) { _ = c.WriteSettings(xhttp2.Setting{ID: 4, Val: 1 << 31}) }, "GOAWAY FLOW_CONTROL_ERROR"},
		{"6.5.2 frame size too small", func(c *rawClient) { _ = c.WriteSettings(xhttp2.Setting{ID: 5, Val: 16383}) }, protocol},
		{"6.5.2 frame size too large", func(c *rawClient) { _ = c.WriteSettings(xhttp2.Setting{ID: 5, Val: 1 << 24}) }, protocol},
		{"6.5.2 unknown setting", func(c *rawClient) { _ = c.WriteSettings(xhttp2.Setting{ID: 99, Val: 1}); c.request(1, true, get()...) }, ok},
		{"6.5.2 no table", func(c *rawClient) {
			c.ReadMetaHeaders.SetMaxDynamicTableSize(0)
			_ = c.WriteSettings(xhttp2.Setting{ID: 1, Val: 0})
			c.request(1, true, get()...)
		}, ok},
	}
}

// pingToContinuation are the cases of sections 6.6 to 6.10.
func pingToContinuation() []conformance {
	return []conformance{
		{"6.6 PUSH_PROMISE", func(c *rawClient) { c.raw(framePushPromise, flagEndHeaders, 1, "\x00\x00\x00\x02") }, protocol},
		{"6.7 PING on a stream", func(c *rawClient) { c.raw(framePing, 0, 1, "12345678") }, protocol},
		{"6.7 PING of another size", func(c *rawClient) { c.raw(framePing, 0, 0, "1234567") }, frameSize},
		{"6.7 ACK is not answered", func(c *rawClient) { c.raw(framePing, flagAck, 0, "12345678"); c.request(1, true, get()...) }, ok},
		{"6.8 GOAWAY on a stream", func(c *rawClient) { c.raw(frameGoAway, 0, 1, "12345678") }, protocol},
		{"6.8 GOAWAY, and requests go on", func(c *rawClient) { _ = c.WriteGoAway(0, 0, nil); c.request(1, true, get()...) }, ok},
		{"6.9 WINDOW_UPDATE of 0", func(c *rawClient) { _ = c.WriteWindowUpdate(0, 0) }, protocol},
		{"6.9 WINDOW_UPDATE of 0 of a stream", func(c *rawClient) { c.request(1, false, post()...); _ = c.WriteWindowUpdate(1, 0) }, "RST PROTOCOL_ERROR"},
		{"6.9 WINDOW_UPDATE of another size", func(c *rawClient) { c.raw(frameWindowUpdate, 0, 0, "abc") }, frameSize},
		{"6.9.1 overflow", func(c *rawClient) { _ = c.WriteWindowUpdate(0, maxWindow) }, "GOAWAY FLOW_CONTROL_ERROR"},
		{"6.9.1 overflow of a stream", func(c *rawClient) { c.request(1, false, post()...); _ = c.WriteWindowUpdate(1, maxWindow) }, "RST FLOW_CONTROL_ERROR"},
		{"6.9.2 overflow by SETTINGS", func(c *rawClient) {
			c.request(1, false, post()...)
			_ = c.WriteWindowUpdate(1, maxWindow-initialWindow)
			_ = c.WriteSettings(xhttp2.Setting{ID: 4, Val: initialWindow + 1})
		}, "GOAWAY FLOW_CONTROL_ERROR"},
		{"6.10 CONTINUATION", func(c *rawClient) {
			block := c.block(get()...)
			c.headers(1, true, false, block[:3])
			_ = c.WriteContinuation(1, false, block[3:5])
			_ = c.WriteContinuation(1, true, block[5:])
		}, ok},
		{"6.10 CONTINUATION of nothing", func(c *rawClient) { _ = c.WriteContinuation(1, true, nil) }, protocol},
		{"6.10 CONTINUATION after the end", func(c *rawClient) {
			c.request(1, false, post()...)
			_ = c.WriteContinuation(1, true, nil)
		}, protocol},
	}
}

// TestConformance sends what RFC 9113 forbids, or asks for, and looks at the answer. The sections are its own.
func TestConformance(t *testing.T) {
	s := serve(t, Limits{}, nil, func(task *loop.Task, s message.Stream) {
		if s.Request().Header.Has("x-wait") {
			task.Sleep(1e9)
		}
		answerAll(task, s)
	})
	for _, tt := range slices.Concat(framesAndFields(), streamStates(), dataToReset(), settingsFrames(), pingToContinuation()) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := dialRaw(t, s)
			tt.send(c)
			if got := c.outcome(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestMalformed sends requests that RFC 9113 8 calls malformed, and some that are close to it.
func TestMalformed(t *testing.T) {
	const bad = "RST PROTOCOL_ERROR"
	tests := []struct {
		name   string
		fields []string
		want   string
	}{
		{"8.2.1 upper case", get("X-A", "1"), bad},
		{"8.2.1 empty name", get("", "1"), bad},
		{"8.2.1 space in a name", get("x a", "1"), bad},
		{"8.2.1 colon in a name", get("x:a", "1"), bad},
		{"8.2.1 CR in a name", get("x\ra", "1"), bad},
		{"8.2.1 NUL in a value", get("x-a", "1\x00"), bad},
		{"8.2.1 CR in a value", get("x-a", "1\r2"), bad},
		{"8.2.1 LF in a value", get("x-a", "1\n2"), bad},
		{"8.2.1 DEL in a value", get("x-a", "1\x7f2"), bad},
		{"8.2.1 space before a value", get("x-a", " 1"), bad},
		{"8.2.1 tab after a value", get("x-a", "1\t"), bad},
		{"8.2.1 space and tab within a value", get("x-a", "1 \t2"), "200"},
		{"8.2.1 empty value", get("x-a", ""), "200"},
		{"8.2.1 bytes beyond ASCII", get("x-a", "ü"), "200"},
		{"8.2.2 connection", get("connection", "close"), bad},
		{"8.2.2 keep-alive", get("keep-alive", "1"), bad},
		{"8.2.2 proxy-connection", get("proxy-connection", "close"), bad},
		{"8.2.2 transfer-encoding", get("transfer-encoding", "chunked"), bad},
		{"8.2.2 upgrade", get("upgrade", "h2c"), bad},
		{"8.2.2 te", get("te", "gzip"), bad},
		{"8.2.2 te trailers", get("te", "trailers"), "200"},
		{"8.3 pseudo-field after others", []string{":method", "GET", ":scheme", "http", "x-a", "1", ":path", "/"}, bad},
		{"8.3 unknown pseudo-field", append([]string{":x", "1"}, get()...), bad},
		{"8.3 response's pseudo-field", append([]string{":status", "200"}, get()...), bad},
		{"8.3.1 twice", append([]string{":path", "/"}, get()...), bad},
		{"8.3.1 no method", []string{":scheme", "http", ":authority", "a.test", ":path", "/"}, bad},
		{"8.3.1 no scheme", []string{":method", "GET", ":authority", "a.test", ":path", "/"}, bad},
		{"8.3.1 no path", []string{":method", "GET", ":authority", "a.test", ":scheme", "http"}, bad},
		{"8.3.1 empty path", []string{":method", "GET", ":authority", "a.test", ":scheme", "http", ":path", ""}, bad},
		{"8.3.1 no slash", []string{":method", "GET", ":authority", "a.test", ":scheme", "http", ":path", "a"}, bad},
		{"8.3.1 absolute form", []string{":method", "GET", ":authority", "a.test", ":scheme", "http", ":path", "http://b.test/"}, bad},
		{"8.3.1 asterisk", []string{":method", "OPTIONS", ":authority", "a.test", ":scheme", "http", ":path", "*"}, "200"},
		{"8.3.1 asterisk of GET", []string{":method", "GET", ":authority", "a.test", ":scheme", "http", ":path", "*"}, bad},
		{"8.3.1 space in the path", []string{":method", "GET", ":authority", "a.test", ":scheme", "http", ":path", "/ HTTP/1.1"}, bad},
		{"8.3.1 fragment", []string{":method", "GET", ":authority", "a.test", ":scheme", "http", ":path", "/#a"}, bad},
		{"8.3.1 LF in the path", []string{":method", "GET", ":authority", "a.test", ":scheme", "http", ":path", "/\na"}, bad},
		{"8.3.1 space in the method", []string{":method", "GET /", ":authority", "a.test", ":scheme", "http", ":path", "/"}, bad},
		{"8.3.1 other scheme", []string{":method", "GET", ":authority", "a.test", ":scheme", "ftp", ":path", "/"}, bad},
		{"8.3.1 userinfo", []string{":method", "GET", ":authority", "u@a.test", ":scheme", "http", ":path", "/"}, bad},
		{"8.3.1 no authority", []string{":method", "GET", ":scheme", "http", ":path", "/"}, bad},
		{"8.3.1 host instead", []string{":method", "GET", ":scheme", "http", ":path", "/", "host", "a.test"}, "200"},
		{"8.3.1 another host", get("host", "b.test"), bad},
		{"8.3.1 two hosts", get("host", "a.test", "host", "b.test"), bad},
		{"8.3.1 bad port", []string{":method", "GET", ":authority", "a.test:x", ":scheme", "http", ":path", "/"}, bad},
		{"8.5 CONNECT with a path", []string{":method", "CONNECT", ":authority", "a.test:1", ":path", "/"}, bad},
		{"8.5 CONNECT without an authority", []string{":method", "CONNECT"}, bad},
		{"8.1.1 content-length twice", get("content-length", "0", "content-length", "1"), bad},
		{"8.1.1 content-length with a sign", get("content-length", "+0"), bad},
		{"8.1.1 content-length empty", get("content-length", ""), bad},
		{"8.1.1 content-length without a body", get("content-length", "1"), bad},
		{"8.1.1 content-length of 0", get("content-length", "0"), "200"},
		{"RFC 8441 protocol of GET", append([]string{":protocol", "websocket"}, get()...), bad},
	}
	s := serve(t, Limits{}, nil, answerAll)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := dialRaw(t, s)
			c.request(1, true, tt.fields...)
			if got := c.outcome(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if err := c.alive(); err != nil {
				t.Error(err)
			}
		})
	}
}
