package echo_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestWebSocket uses the key and the masked "Hello" of RFC 6455, sections 1.3 and 5.7.
func TestWebSocket(t *testing.T) {
	server, _, _ := start(t, 0)
	conn, err := net.Dial("tcp", server.Addr("http").String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	const ask = "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	hello := []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}
	closing := []byte{0x88, 0x80, 0, 0, 0, 0}
	if _, err := conn.Write(append(append([]byte(ask), hello...), closing...)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("status %s, accept %q", response.Status, response.Header.Get("Sec-WebSocket-Accept"))
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("\x81\x0bweb-1 Hello\x88\x00", string(rest)); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
}

func TestWebSocketRefusesWhatIsNone(t *testing.T) {
	server, _, _ := start(t, 0)
	if status, _ := request(t, http.MethodGet, "http://"+server.Addr("http").String()+"/ws", ""); status != http.StatusUpgradeRequired {
		t.Errorf("status %d, want 426", status)
	}
}

func TestGRPCHealth(t *testing.T) {
	server, _, _ := start(t, 0)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	url := "http://" + server.Addr("http").String()
	check := func() (body, status string) {
		t.Helper()
		response, err := client.Post(url+"/grpc.health.v1.Health/Check", "application/grpc", strings.NewReader("\x00\x00\x00\x00\x00"))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		got, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(got), response.Trailer.Get("Grpc-Status")
	}
	for ready, want := range map[string]string{"false": "\x00\x00\x00\x00\x02\x08\x02", "true": "\x00\x00\x00\x00\x02\x08\x01"} {
		request(t, http.MethodPost, url+"/ready?ok="+ready, "")
		if body, status := check(); body != want || status != "0" {
			t.Errorf("ready=%s: message %q, grpc-status %q; want %q and 0", ready, body, status, want)
		}
	}
}
