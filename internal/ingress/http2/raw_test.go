package http2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawClient speaks frames.
type rawClient struct {
	t    testing.TB
	conn net.Conn
	*xhttp2.Framer
	encoded bytes.Buffer
	encoder *hpack.Encoder
	ended   bool // the last DATA frame that data has read was the end of its stream
}

// dialRaw connects, and has exchanged SETTINGS when it returns.
func dialRaw(t testing.TB, s *testServer) *rawClient {
	t.Helper()
	c := connectRaw(t, s)
	if _, err := io.WriteString(c.conn, Preface); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := c.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := f.(*xhttp2.SettingsFrame); ok && f.IsAck() {
			return c
		}
	}
}

// connectRaw connects, and has sent nothing yet.
func connectRaw(t testing.TB, s *testServer) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	c := &rawClient{t: t, conn: conn, Framer: xhttp2.NewFramer(conn, conn)}
	c.AllowIllegalWrites = true
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.encoder = newEncoder(c)
	return c
}

func newEncoder(c *rawClient) *hpack.Encoder { return hpack.NewEncoder(&c.encoded) }

// block encodes fields: names and values in turn.
func (c *rawClient) block(fields ...string) []byte {
	c.encoded.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(c.encoded.Bytes())
}

// get are the pseudo-fields of a plain request, and others.
func get(fields ...string) []string {
	return append([]string{":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/"}, fields...)
}

func post(fields ...string) []string {
	fields = get(fields...)
	fields[1] = "POST"
	return fields
}

// request sends a head.
func (c *rawClient) request(id uint32, end bool, fields ...string) {
	block := c.block(fields...)
	first := min(len(block), maxFrameSize)
	c.headers(id, end, first == len(block), block[:first])
	for block = block[first:]; len(block) > 0; {
		n := min(len(block), maxFrameSize)
		_ = c.WriteContinuation(id, n == len(block), block[:n])
		block = block[n:]
	}
}

func (c *rawClient) headers(id uint32, end, whole bool, block []byte) {
	_ = c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, EndStream: end, EndHeaders: whole, BlockFragment: block})
}

// outcome reads frames until the fate of a stream, or of the connection, is clear: "200", "RST CODE", "GOAWAY CODE", "PONG" or
// "closed".
func (c *rawClient) outcome() string {
	status := ""
	for {
		f, err := c.ReadFrame()
		var failure net.Error
		switch {
		case errors.As(err, &failure) && failure.Timeout():
			return status + " silence"
		case err != nil:
			return strings.TrimSpace(status + " closed")
		}
		switch f := f.(type) {
		case *xhttp2.MetaHeadersFrame:
			status = f.PseudoValue("status")
			if f.StreamEnded() {
				return status
			}
		case *xhttp2.DataFrame:
			if f.StreamEnded() {
				return status
			}
		case *xhttp2.RSTStreamFrame:
			return strings.TrimSpace(status + " RST " + f.ErrCode.String())
		case *xhttp2.GoAwayFrame:
			return "GOAWAY " + f.ErrCode.String()
		case *xhttp2.PingFrame:
			if f.IsAck() {
				return "PONG"
			}
		}
	}
}

// raw writes a frame that the Framer would not.
func (c *rawClient) raw(typ frameType, flags uint8, id uint32, payload string) {
	_ = c.WriteRawFrame(xhttp2.FrameType(typ), xhttp2.Flags(flags), id, []byte(payload))
}

// alive says whether the connection still answers.
func (c *rawClient) alive() error {
	_ = c.WritePing(false, [8]byte{1})
	if got := c.outcome(); got != "PONG" {
		return fmt.Errorf("PING: %s", got)
	}
	return nil
}
