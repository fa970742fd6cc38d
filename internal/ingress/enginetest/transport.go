package enginetest

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	quichttp3 "github.com/quic-go/quic-go/http3"
)

// Passthrough hands TLS connections of one host to its backend, and looks at those of another.
func Passthrough(t *testing.T, start Start) {
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "undecrypted "+r.Host)
	}))
	t.Cleanup(secure.Close)
	e := Serve(t, start, Case{
		Manifest: ingress("through", "through.test", "secure", "ssl-passthrough", "true") + ingress("web", "web.test", "web"),
		Servers:  map[string]netip.AddrPort{"secure": netip.MustParseAddrPort(secure.Listener.Addr().String())},
	})
	e.check(t, Want{Status: 200, Body: "undecrypted through.test", CommonName: secure.Certificate().Subject.CommonName},
		e.Do(t, Step{Host: "through.test", TLS: true}))
	e.check(t, Want{Status: 200, Backend: "web", CommonName: "Kubernetes Ingress Controller Fake Certificate"},
		e.Do(t, Step{Host: "web.test", TLS: true}))
	through := e.connect(t, true).(*tls.Conn).NetConn()
	c := tls.Client(through, &tls.Config{InsecureSkipVerify: true, ServerName: "through.test"})
	ask := func() error {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: through.test\r\n\r\n"); err != nil {
			return err
		}
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	e.Apply(t, ingress("web", "web.test", "web"))
	if err := ask(); err != nil {
		t.Errorf("after the host has gone: %v", err)
	}
	t.Run("no TLS", func(t *testing.T) {
		c, err := net.Dial("tcp", e.HTTPS)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
		if got, _ := io.ReadAll(c); len(got) > 0 && got[0] != 21 && !startsWithHTTP(got) {
			t.Errorf("%q", got)
		}
	})
}

func startsWithHTTP(b []byte) bool { return len(b) > 4 && string(b[:5]) == "HTTP/" }

// ProxyProtocol has clients introduced by a load balancer.
func ProxyProtocol(t *testing.T, start Start) {
	const header = "PROXY TCP4 192.0.2.7 192.0.2.8 1234 443\r\n"
	ask := func(t *testing.T, e *Entry, secure bool, header string) answer {
		t.Helper()
		addr := e.HTTP
		if secure {
			addr = e.HTTPS
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, header)
		if secure {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "web.test"})
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return answer{&http.Response{StatusCode: -1}, err.Error()}
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{response, string(body)}
	}
	seen := func(client string) Want {
		return Want{Status: 200, Backend: "web", SeenHeader: map[string]string{"X-Real-Ip": client, "X-Forwarded-For": client}}
	}
	trusting := configMap("controller", "use-proxy-protocol", "true")
	e := Serve(t, start, Case{Manifest: ingress("web", "web.test", "web") + trusting})
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("with TLS %v", secure), func(t *testing.T) {
			start.skip(t)
			e.check(t, seen("192.0.2.7"), ask(t, e, secure, header))
			e.check(t, seen("127.0.0.1"), ask(t, e, secure, "PROXY UNKNOWN\r\n"))
			e.check(t, Want{Status: -1}, ask(t, e, secure, ""))
			e.check(t, Want{Status: -1}, ask(t, e, secure, "PROXY TCP4 192.0.2.7 192.0.2.8 1234 0443\r\n"))
		})
	}
	t.Run("from someone who is not believed", func(t *testing.T) {
		e.Apply(t, ingress("web", "web.test", "web")+configMap("controller", "use-proxy-protocol", "true", "proxy-real-ip-cidr", "198.51.100.0/24"))
		e.check(t, seen("127.0.0.1"), ask(t, e, false, header))
	})
}

// udpService is a Service of UDP whose endpoint is a port of loopback.
const udpService = `
---
apiVersion: v1
kind: Service
metadata: {name: udp, namespace: default}
spec: {clusterIP: 10.96.0.2, ports: [{name: dns, port: 53, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: udp-1, namespace: default, labels: {kubernetes.io/service-name: udp}}
addressType: IPv4
ports: [{name: dns, port: %d, protocol: UDP}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]
`

// Services opens a port of TCP and one of UDP.
func Services(t *testing.T, start Start) {
	name := func(word string) netip.AddrPort {
		return server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, word) })
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo(b[:n], from)
		}
	}()
	free := httptest.NewServer(nil)
	_, port, _ := net.SplitHostPort(free.Listener.Addr().String())
	free.Close()
	e := Serve(t, start, Case{
		Manifest: configMap("tcp-services", port, "default/tcp:80") + configMap("udp-services", port, "default/udp:53") +
			fmt.Sprintf(udpService, netip.MustParseAddrPort(udp.LocalAddr().String()).Port()),
		Servers: map[string]netip.AddrPort{"tcp": name("tcp")},
	})
	host, _, _ := net.SplitHostPort(e.HTTP)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + net.JoinHostPort(host, port))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); string(body) != "tcp" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
	c, err := net.Dial("udp", net.JoinHostPort(host, port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, "hello")
	b := make([]byte, 100)
	if n, err := c.Read(b); string(b[:n]) != "hello" || err != nil {
		t.Errorf("%q, %v", b[:n], err)
	}
}

// HTTP3 asks over HTTP/3, as an answer over TCP says one can.
func HTTP3(t *testing.T, start Start) {
	e := Serve(t, start, Case{Manifest: ingress("web", "web.test", "web", "proxy-request-buffering", "off")})
	a := e.Do(t, Step{Host: "web.test", TLS: true})
	_, port, _ := net.SplitHostPort(e.HTTPS)
	e.check(t, Want{Status: 200, Backend: "web", Header: map[string]string{"Alt-Svc": `h3=":` + port + `"; ma=86400`}}, a)
	transport := &quichttp3.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		Dial: func(ctx context.Context, _ string, tls *tls.Config, config *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, e.HTTPS, tls, config)
		},
	}
	t.Cleanup(func() { transport.Close() })
	client := &http.Client{Transport: transport, Timeout: patience}
	response, err := client.Post("https://web.test/x?y", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	e.check(t, Want{
		Status: 200, Backend: "web", Seen: Seen{Method: "POST", Target: "/x?y", Host: "web.test", Body: "hello", Proto: "HTTP/1.1"},
		SeenHeader: map[string]string{"X-Forwarded-Proto": "https", "X-Real-Ip": "127.0.0.1"}, Header: map[string]string{"Alt-Svc": ""},
	}, answer{response, string(body)})
	bothWays(t, client)
}
