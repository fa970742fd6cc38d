package enginetest

import (
	"bufio"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	gogrpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard-net/switchyard/internal/ingress/grpc/grpctest"
)

// ingress is one for a host and all its paths, with annotations (their names without the prefix).
func ingress(name, host, service string, annotations ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: %s\n  namespace: default\n  annotations:\n    x: y\n", name)
	for i := 0; i+1 < len(annotations); i += 2 {
		fmt.Fprintf(&b, "    nginx.ingress.kubernetes.io/%s: %q\n", annotations[i], annotations[i+1])
	}
	fmt.Fprintf(&b, `spec:
  rules:
  - host: %s
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %s, port: {number: 80}}}}]}
`, host, service)
	return b.String()
}

// configMap is the entry's.
func configMap(name string, pairs ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: ingress}\ndata:\n", name)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, "  %q: %q\n", pairs[i], pairs[i+1])
	}
	return b.String()
}

// server starts a server of HTTP/1.1 that lives as long as the test.
func server(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

// GRPC makes calls of all kinds through the engine, in the clear and with TLS, and looks at its own answers.
func GRPC(t *testing.T, start Start) {
	plain := grpctest.Backend(t)
	secure := httptest.NewUnstartedServer(nil) // for its certificate
	secure.StartTLS()
	t.Cleanup(secure.Close)
	encrypted := grpctest.Backend(t, gogrpc.Creds(credentials.NewTLS(&tls.Config{Certificates: secure.TLS.Certificates})))
	e := Serve(t, start, Case{
		Manifest: ingress("plain", "plain.test", "plain", "backend-protocol", "GRPC", "proxy-body-size", "0") +
			ingress("secure", "secure.test", "secure", "backend-protocol", "GRPCS", "proxy-body-size", "0") +
			ingress("none", "none.test", "none", "backend-protocol", "GRPC") +
			ingress("slow", "slow.test", "plain", "backend-protocol", "GRPC", "proxy-read-timeout", "1") +
			ingress("fickle", "fickle.test", "fickle", "backend-protocol", "GRPC") +
			objects("fickle", []*backend{{name: "fickle", addr: plain}, {name: "fickle", addr: leaving(t)}}) +
			ingress("small", "small.test", "plain", "backend-protocol", "GRPC", "proxy-body-size", "1k"),
		Servers: map[string]netip.AddrPort{"plain": plain, "secure": encrypted},
	})
	connect := func(t *testing.T, host string, encrypted bool) *gogrpc.ClientConn {
		t.Helper()
		addr, creds := e.HTTP, insecure.NewCredentials()
		if encrypted {
			addr, creds = e.HTTPS, credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
		}
		c, err := gogrpc.NewClient("passthrough:///"+addr, gogrpc.WithTransportCredentials(creds), gogrpc.WithAuthority(host))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	for _, host := range []string{"plain.test", "secure.test"} {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s with TLS %v", host, encrypted), func(t *testing.T) {
				start.skip(t)
				grpctest.Calls(t, connect(t, host, encrypted))
			})
		}
	}
	t.Run("a server that leaves", func(t *testing.T) {
		start.skip(t)
		c := connect(t, "fickle.test", true)
		for range 30 {
			var out grpctest.Text
			err := c.Invoke(t.Context(), "/test.Service/Unary", wrapperspb.String("hello"), &out)
			if err != nil || out.Value != "hello" {
				t.Fatalf("%q, %v", out.Value, err)
			}
		}
	})
	for host, want := range map[string]codes.Code{
		"none.test": codes.Unavailable, "unknown.test": codes.Unimplemented, "slow.test": codes.DeadlineExceeded,
		"small.test": codes.ResourceExhausted,
	} {
		t.Run(host, func(t *testing.T) {
			start.skip(t)
			message := "sleep"
			if host == "small.test" {
				message = strings.Repeat("x", 2000)
			}
			err := connect(t, host, true).Invoke(t.Context(), "/test.Service/Unary", wrapperspb.String(message), &grpctest.Text{})
			if status.Code(err) != want {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

// echoTunnel changes the protocol and sends back in capitals what it gets, and "bye" after the client's end.
func echoTunnel(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		http.Error(w, "no upgrade", 400)
		return
	}
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Accept: %s\r\nX-Forwarded: %s\r\n\r\n",
		r.Header.Get("Upgrade"), base64.StdEncoding.EncodeToString(sum[:]), r.Header.Get("X-Real-IP"))
	b := make([]byte, 1000)
	for {
		n, err := buffered.Read(b)
		if n > 0 {
			_, _ = io.WriteString(c, strings.ToUpper(string(b[:n])))
		}
		if err != nil {
			_, _ = io.WriteString(c, "bye")
			return
		}
	}
}

// tunnel is the client's end of one.
type tunnel interface {
	io.ReadWriter
	// CloseWrite ends what is sent.
	CloseWrite() error
}

// WebSocket changes the protocol over HTTP/1.1 and HTTP/2, with and without TLS.
func WebSocket(t *testing.T, start Start) {
	e := Serve(t, start, Case{
		Manifest: ingress("tunnel", "tunnel.test", "tunnel") + ingress("quiet", "quiet.test", "tunnel", "proxy-read-timeout", "1"),
		Servers:  map[string]netip.AddrPort{"tunnel": server(t, echoTunnel)},
	})
	for name, open := range map[string]func(t *testing.T, host string) tunnel{
		"HTTP/1.1":          func(t *testing.T, host string) tunnel { return tunnel1(t, e.connect(t, false), host) },
		"HTTP/1.1 with TLS": func(t *testing.T, host string) tunnel { return tunnel1(t, e.connect(t, true, "http/1.1"), host) },
		"HTTP/2":            func(t *testing.T, host string) tunnel { return tunnel2(t, e.connect(t, false), host) },
		"HTTP/2 with TLS":   func(t *testing.T, host string) tunnel { return tunnel2(t, e.connect(t, true, "h2"), host) },
	} {
		t.Run(name, func(t *testing.T) {
			start.skip(t)
			c := open(t, "tunnel.test")
			for _, word := range []string{"hello", "again"} {
				if got := say(t, c, word); got != strings.ToUpper(word) {
					t.Errorf("%q came back of %q", got, word)
				}
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c); string(got) != "bye" || err != nil {
				t.Errorf("after our end: %q, %v", got, err)
			}
			quiet := open(t, "quiet.test")
			for range 4 { // longer than it may be silent, all in all
				say(t, quiet, "x")
				time.Sleep(400 * time.Millisecond)
			}
			begun := time.Now()
			if got, _ := io.ReadAll(quiet); len(got) > 0 || time.Since(begun) < 300*time.Millisecond {
				t.Errorf("%q after %s of silence", got, time.Since(begun))
			}
		})
	}
}

// connect opens a connection, with TLS where protocols are given.
func (e *Entry) connect(t *testing.T, secure bool, protocols ...string) net.Conn {
	t.Helper()
	addr := e.HTTP
	if secure {
		addr = e.HTTPS
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols, ServerName: "tunnel.test"})
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// say sends a word and reads what comes back of it.
func say(t *testing.T, c tunnel, word string) string {
	t.Helper()
	if _, err := io.WriteString(c, word); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(word))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// over1 is a tunnel over HTTP/1.1.
type over1 struct {
	net.Conn
	r *bufio.Reader
}

func (o over1) Read(p []byte) (int, error) { return o.r.Read(p) }

func (o over1) CloseWrite() error { return o.Conn.(interface{ CloseWrite() error }).CloseWrite() }

func tunnel1(t *testing.T, c net.Conn, host string) tunnel {
	t.Helper()
	fmt.Fprintf(c, "GET /chat HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", host)
	r := bufio.NewReader(c)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 101 || response.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" ||
		!strings.EqualFold(response.Header.Get("Upgrade"), "websocket") || response.Header.Get("X-Forwarded") != "127.0.0.1" {
		t.Fatalf("%d %v", response.StatusCode, response.Header)
	}
	return over1{c, r}
}

// Streaming looks at bodies that come bit by bit: what one side sends has to reach the other at once.
func Streaming(t *testing.T, start Start) {
	next := make(chan struct{})
	events := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	e := Serve(t, start, Case{
		Manifest: ingress("events", "events.test", "events") + ingress("web", "web.test", "web", "proxy-request-buffering", "off"),
		Servers:  map[string]netip.AddrPort{"events": events},
	})
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			client := e.client(t, protocol)
			t.Run("events", func(t *testing.T) {
				response, err := client.Get("https://events.test/")
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				r := bufio.NewReader(response.Body)
				for i := range 3 {
					line, err := r.ReadString('\n')
					if _, blank := r.ReadString('\n'); line != fmt.Sprintf("data: %d\n", i) || err != nil || blank != nil {
						t.Fatalf("%q, %v", line, err)
					}
					next <- struct{}{}
				}
				if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
					t.Error(err)
				}
			})
			t.Run("both ways", func(t *testing.T) {
				start.skip(t)
				bothWays(t, client)
			})
		})
	}
}

// bothWays sends a body whose pieces come back before the next is sent.
func bothWays(t *testing.T, client *http.Client) {
	t.Helper()
	body, sender := io.Pipe()
	// A client that waits for its own body to end does not give up by itself.
	defer time.AfterFunc(patience, func() { sender.Close() }).Stop()
	request, err := http.NewRequestWithContext(t.Context(), "POST", "https://web.test/?stream=1", body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for _, word := range []string{"one", "two", "three"} {
		if _, err := io.WriteString(sender, word); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(word))
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != word {
			t.Fatalf("%q came back of %q: %v", got, word, err)
		}
	}
	sender.Close()
	if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v after the end", rest, err)
	}
}

// client returns one that connects to the entry whatever the host, and speaks one protocol over TLS.
func (e *Entry) client(t *testing.T, protocol string) *http.Client {
	transport := &http.Transport{
		ForceAttemptHTTP2: protocol == "h2", TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: e.dial(e.HTTPS),
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}
