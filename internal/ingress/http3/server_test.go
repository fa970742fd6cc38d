package http3

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/quic-go/quic-go"
	quichttp3 "github.com/quic-go/quic-go/http3"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// start serves on loopback, and returns a client, the URL and the server.
func start(t *testing.T, limits Limits, handler func(*loop.Task, message.Stream)) (*http.Client, string, *Server) {
	t.Helper()
	l, err := loop.New(loop.Config{Log: slog.Default(), Panic: func() { t.Error("a task panicked") }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		_ = l.Run(ctx)
		close(ended)
	}()
	cert := certificate(t)
	s := New(Config{
		Limits: limits, TLS: func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{cert}} },
		Settled: func(c *tls.ConnectionState) *message.TLS {
			return &message.TLS{ServerName: c.ServerName, Version: c.Version}
		},
		Loops: []*loop.Loop{l}, Serve: handler, Ended: ended,
	})
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(socket) }()
	transport := &quichttp3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(func() {
		transport.Close()
		down, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		if err := s.Shutdown(down); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		socket.Close()
		cancel()
		<-ended
	})
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}, "https://" + socket.LocalAddr().String(), s
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestRequest(t *testing.T) {
	c, url, _ := start(t, Limits{}, func(_ *loop.Task, s message.Stream) {
		r := s.Request()
		body := fmt.Sprintf("%s %s %s %d %d %s %q %v", r.Method, r.Target, r.Host, r.Major, r.Length, r.Client.Addr(), r.Header.Get("X-A"),
			r.TLS.Version == tls.VersionTLS13)
		response := &message.Response{Status: 201, Length: int64(len(body))}
		response.Header.AddString("x-upper", "1")
		response.Header.AddString("connection", "close")
		if s.Respond(response, false) == nil && s.Write([]byte(body)) == nil {
			_ = s.End(nil)
		}
	})
	request, _ := http.NewRequest("GET", url+"/a%20b?x=1", nil)
	request.Host = "A.Test:8443"
	request.Header.Set("X-A", "b")
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := `GET /a%20b?x=1 a.test 3 0 127.0.0.1 "b" true`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Error(diff)
	}
	header := http.Header{"X-Upper": {"1"}, "Content-Length": {fmt.Sprint(len(want))}}
	if diff := cmp.Diff(header, response.Header); diff != "" || response.StatusCode != 201 {
		t.Error(response.StatusCode, diff)
	}
}

// copyBody sends the body back as it comes, with its trailer.
func copyBody(_ *loop.Task, s message.Stream) {
	if s.Respond(&message.Response{Status: 200, Length: -1}, false) != nil || s.Flush() != nil {
		return
	}
	for {
		p, err := s.Read()
		if errors.Is(err, io.EOF) {
			_ = s.End(s.Trailer())
			return
		}
		if err != nil || s.Write(p) != nil || s.Flush() != nil {
			s.Abort()
			return
		}
	}
}

func TestBodies(t *testing.T) {
	c, url, _ := start(t, Limits{}, copyBody)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			sent := make([]byte, 1+i*22222)
			_, _ = rand.Read(sent)
			request, _ := http.NewRequest("POST", url, io.NopCloser(bytes.NewReader(sent)))
			request.Trailer = http.Header{"X-Sum": {"abc"}}
			response, err := c.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			got, err := io.ReadAll(response.Body)
			if err != nil || !bytes.Equal(got, sent) || response.Trailer.Get("X-Sum") != "abc" {
				t.Errorf("%d bytes came back of %d, trailer %v: %v", len(got), len(sent), response.Trailer, err)
			}
		})
	}
	wg.Wait()
}

func TestStreaming(t *testing.T) {
	c, url, _ := start(t, Limits{}, copyBody)
	body, sender := io.Pipe()
	defer time.AfterFunc(10*time.Second, func() { sender.Close() }).Stop()
	response, err := c.Post(url, "", body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for _, word := range []string{"one", "two"} {
		_, _ = io.WriteString(sender, word)
		got := make([]byte, len(word))
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != word {
			t.Fatalf("%q came back of %q: %v", got, word, err)
		}
	}
	sender.Close()
}

func TestFailures(t *testing.T) {
	c, url, _ := start(t, Limits{Read: 200 * time.Millisecond}, func(task *loop.Task, s message.Stream) {
		switch string(s.Request().Target) {
		case "/abort":
			_ = s.Respond(&message.Response{Status: 200, Length: 10}, false)
			_ = s.Write([]byte("abc"))
			_ = s.Flush()
			s.Abort()
		case "/nothing":
		case "/interrupt":
			task.Loop().Go(func(other *loop.Task) {
				other.Sleep(50 * time.Millisecond)
				s.Interrupt()
			})
			fallthrough
		default:
			status := 200
			if _, err := s.Read(); err != nil {
				status = 499
			}
			_ = s.Respond(&message.Response{Status: status, Length: 0}, true)
		}
	})
	for _, path := range []string{"/abort", "/nothing"} {
		response, err := c.Get(url + path)
		if err == nil {
			_, err = io.ReadAll(response.Body)
			response.Body.Close()
		}
		if err == nil {
			t.Errorf("%s is not seen as a failure", path)
		}
	}
	for path, limit := range map[string]time.Duration{"/interrupt": 190 * time.Millisecond, "/silence": time.Second} {
		body, sender := io.Pipe()
		begun := time.Now()
		response, err := c.Post(url+path, "", body)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); response.StatusCode != 499 || took > limit {
			t.Errorf("%s: %d after %s", path, response.StatusCode, took)
		}
		sender.Close()
		response.Body.Close()
	}
	request, _ := http.NewRequest("GET", url, nil)
	request.Host = "bad_host..x"
	if response, err := c.Do(request); err != nil || response.StatusCode != 400 {
		t.Errorf("a bad host: %v, %v", response, err)
	}
}

func TestHeaderLimit(t *testing.T) {
	c, url, _ := start(t, Limits{HeaderBytes: 4 << 10}, func(_ *loop.Task, s message.Stream) {
		_ = s.Respond(&message.Response{Status: 204, Length: -1}, true)
	})
	for size, want := range map[int]bool{1000: true, 8000: false} {
		request, _ := http.NewRequest("GET", url, nil)
		request.Header.Set("X-A", strings.Repeat("a", size))
		response, err := c.Do(request)
		if ok := err == nil && response.StatusCode == 204; ok != want {
			t.Errorf("%d bytes: %v, %v", size, response, err)
		}
	}
}

func TestConnectionLimit(t *testing.T) {
	c, url, _ := start(t, Limits{Connections: 1}, func(_ *loop.Task, s message.Stream) {
		_ = s.Respond(&message.Response{Status: 204, Length: -1}, true)
	})
	if _, err := c.Get(url); err != nil {
		t.Fatal(err)
	}
	other := &quichttp3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer other.Close()
	if response, err := (&http.Client{Transport: other, Timeout: 5 * time.Second}).Get(url); err == nil {
		response.Body.Close()
		t.Error("a second connection")
	}
}

// TestNoEarlyData resumes a session, and tries to send before the handshake is over.
func TestNoEarlyData(t *testing.T) {
	_, url, _ := start(t, Limits{}, copyBody)
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{quichttp3.NextProtoH3}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i := range 2 {
		c, err := quic.DialAddrEarly(t.Context(), strings.TrimPrefix(url, "https://"), config, nil)
		if err != nil {
			t.Fatal(err)
		}
		<-c.HandshakeComplete()
		if _, err := c.AcceptUniStream(t.Context()); err != nil { // by then tickets have come, if there are any
			t.Fatal(err)
		}
		if state := c.ConnectionState(); state.Used0RTT {
			t.Errorf("connection %d: %+v", i+1, state)
		}
		_ = c.CloseWithError(0, "")
	}
}
