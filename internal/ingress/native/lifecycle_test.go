package native

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/enginetest"
)

const site = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: site, namespace: default, annotations: {nginx.ingress.kubernetes.io/proxy-read-timeout: "%d"}}
spec:
  rules:
  - host: example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: controller, namespace: ingress}
data: {keep-alive-requests: "1000000"}
`

// patience bounds the waiting of a test.
const patience = 15 * time.Second

// TestChangesUnderLoad changes the table again and again, while requests are made over connections that are kept: none may fail, and
// no connection may be closed.
func TestChangesUnderLoad(t *testing.T) {
	e := enginetest.Serve(t, start(), enginetest.Case{Manifest: fmt.Sprintf(site, 60)})
	var stop atomic.Bool
	var made atomic.Int64
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			for !stop.Load() {
				n, err := askUntilClosed(e.HTTP, stop.Load)
				made.Add(n)
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 200 {
		e.Apply(t, fmt.Sprintf(site, 10+i))
	}
	stop.Store(true)
	load.Wait()
	if made.Load() < 200 {
		t.Errorf("only %d requests were made meanwhile", made.Load())
	}
}

// askUntilClosed makes requests over one connection until the answer to one says that it is the connection's last (the limit of
// keep-alive-requests), and returns how many were answered.
func askUntilClosed(addr string, stop func() bool) (made int64, err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(4 * patience)); err != nil {
		return 0, err
	}
	in := bufio.NewReader(c)
	for last := false; !last && !stop(); made++ {
		if last, err = askOnce(c, in, "/"); err != nil {
			return made, err
		}
	}
	return made, nil
}

// ask makes a request over a connection that is kept.
func ask(c net.Conn, in *bufio.Reader, target string) error {
	_, err := askOnce(c, in, target)
	return err
}

// askOnce is ask, and reports whether the connection is closed after the answer.
func askOnce(c net.Conn, in *bufio.Reader, target string) (last bool, err error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: example.com\r\n\r\n", target); err != nil {
		return false, err
	}
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return false, err
	}
	if response.StatusCode != http.StatusOK {
		return false, errors.New(response.Status)
	}
	return response.Close, nil
}

// TestDrain ends an engine that has a request under way, a connection without one, and one whose request comes too late.
func TestDrain(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	slow := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		_, _ = io.WriteString(w, "at last")
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = slow.Serve(l) }()
	t.Cleanup(func() { _ = slow.Close() })
	var engine *running
	s := enginetest.Start{New: func(t testing.TB) enginetest.Started {
		started := startWith(t, Deps{})
		engine = &running{Engine: started.Engine.(*Engine)}
		started.Engine = engine
		return started
	}}
	manifest := fmt.Sprintf(strings.ReplaceAll(site, "name: web", "name: slow"), 60)
	e := enginetest.Serve(t, s, enginetest.Case{
		Manifest: manifest, Servers: map[string]netip.AddrPort{"slow": netip.MustParseAddrPort(l.Addr().String())},
	})
	idle := dial(t, e.HTTP)
	busy := dial(t, e.HTTP)
	if _, err := io.WriteString(busy, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	engine.end()
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection without a request: %v, want its end", err)
	}
	if engine.Ready() == nil {
		t.Error("still ready")
	}
	if c, err := net.Dial("tcp", e.HTTP); err == nil {
		_ = c.Close()
		t.Error("a connection is accepted while the engine ends")
	}
	close(release)
	response, err := http.ReadResponse(bufio.NewReader(busy), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if string(body) != "at last" || err != nil || !response.Close {
		t.Errorf("the request under way: %q, %v, close %v", body, err, response.Close)
	}
	engine.wait(t)
}

// running is an engine whose end a test brings about itself.
type running struct {
	*Engine
	cancel context.CancelFunc
	ended  chan struct{}
	mu     sync.Mutex
}

func (r *running) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	defer close(ended)
	r.mu.Lock()
	r.cancel, r.ended = cancel, ended
	r.mu.Unlock()
	return r.Engine.Run(ctx)
}

func (r *running) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancel()
}

func (r *running) wait(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	ended := r.ended
	r.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the engine does not end")
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// TestClientGone has clients that go away in the midst of a response: the engine goes on, and the endpoint is not held.
func TestClientGone(t *testing.T) {
	e := enginetest.Serve(t, start(), enginetest.Case{Manifest: fmt.Sprintf(site, 60)})
	for range 20 {
		c := dial(t, e.HTTP)
		if _, err := io.WriteString(c, "GET /?size=30000000 HTTP/1.1\r\nHost: example.com\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	c := dial(t, e.HTTP)
	if err := ask(c, bufio.NewReader(c), "/"); err != nil {
		t.Error(err)
	}
}

// TestClientDoesNotWait has clients that leave before there is a response: the endpoint is told, and the log has 499.
func TestClientDoesNotWait(t *testing.T) {
	asked, told := make(chan struct{}, 1), make(chan struct{}, 1)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
		told <- struct{}{}
	}))
	t.Cleanup(slow.Close)
	out := &sink{}
	t.Run("requests", func(t *testing.T) {
		s := start()
		s.New = func(t testing.TB) enginetest.Started { return startWith(t, Deps{Access: out}) }
		e := enginetest.Serve(t, s, enginetest.Case{
			Manifest: fmt.Sprintf(strings.ReplaceAll(site, "name: web", "name: slow"), 60),
			Servers:  map[string]netip.AddrPort{"slow": netip.MustParseAddrPort(slow.Listener.Addr().String())},
		})
		for _, secure := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				getOver(ctx, e, secure)
			}()
			<-asked
			cancel()
			select {
			case <-told:
			case <-time.After(patience):
				t.Errorf("TLS and HTTP/2 %v: the endpoint goes on", secure)
			}
			<-ended
		}
	})
	if n := strings.Count(out.String(), `" 499 0 `); n != 2 {
		t.Errorf("%d lines with 499, want 2: %s", n, out)
	}
}

// getOver makes a request, with HTTP/2 if it is one over TLS.
func getOver(ctx context.Context, e *enginetest.Entry, secure bool) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	url := "http://" + e.HTTP + "/"
	if secure {
		url = "https://" + e.HTTPS + "/"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	request.Host = "example.com"
	if response, err := transport.RoundTrip(request); err == nil {
		_ = response.Body.Close()
	}
}
