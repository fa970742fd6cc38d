package http2

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// clients returns Go's client over TLS and in the clear, each to a server with that handler.
func clients(t *testing.T, limits Limits, handler func(*loop.Task, message.Stream), f func(t *testing.T, c *http.Client, url string)) {
	t.Run("tls", func(t *testing.T) {
		cert, pool := certificate(t)
		s := serve(t, limits, serverTLS(cert), handler)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
		t.Cleanup(transport.CloseIdleConnections)
		f(t, &http.Client{Transport: transport}, "https://"+s.addr.String())
	})
	t.Run("clear", func(t *testing.T) {
		s := serve(t, limits, nil, handler)
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		t.Cleanup(transport.CloseIdleConnections)
		f(t, &http.Client{Transport: transport}, "http://"+s.addr.String())
	})
}

func TestRequest(t *testing.T) {
	show := func(_ *loop.Task, s message.Stream) {
		r := s.Request()
		respond(s, 200, fmt.Sprintf("%s %s %s %d.%d %d %v %q", r.Method, r.Target, r.Host, r.Major, r.Minor, r.Length,
			r.TLS != nil, r.Header.Get("X-Test")), "X-Upper", "1", "Connection", "close", "Content-Type", "text/plain")
	}
	clients(t, Limits{}, show, func(t *testing.T, c *http.Client, url string) {
		req, _ := http.NewRequest("GET", url+"/a%20b?x=1&y", nil)
		req.Host = "Example.Test:8443"
		req.Header.Set("X-Test", "some value")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`GET /a%%20b?x=1&y example.test 2.0 0 %v "some value"`, strings.HasPrefix(url, "https"))
		if diff := cmp.Diff(want, string(body)); diff != "" {
			t.Error(diff)
		}
		header := http.Header{"X-Upper": {"1"}, "Content-Type": {"text/plain"}, "Content-Length": {fmt.Sprint(len(want))}}
		if diff := cmp.Diff(header, resp.Header); diff != "" {
			t.Error(diff)
		}
	})
}

func TestManyStreams(t *testing.T) {
	clients(t, Limits{}, copyBody, func(t *testing.T, c *http.Client, url string) {
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				sent := make([]byte, 1+i*997)
				_, _ = rand.Read(sent)
				resp, err := c.Post(url, "", bytes.NewReader(sent))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%d bytes came back of %d: %v", len(got), len(sent), err)
				}
			})
		}
		wg.Wait()
	})
}

func TestLargeBodies(t *testing.T) {
	sent := make([]byte, 20<<20)
	_, _ = rand.Read(sent)
	clients(t, Limits{}, copyBody, func(t *testing.T, c *http.Client, url string) {
		req, _ := http.NewRequest("PUT", url, io.NopCloser(bytes.NewReader(sent)))
		req.Trailer = http.Header{"X-Sum": {"abc"}}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back of %d: %v", len(got), len(sent), err)
		}
		if got := resp.Trailer.Get("X-Sum"); got != "abc" {
			t.Errorf("trailer %q", got)
		}
	})
}

func TestInterimResponses(t *testing.T) {
	handler := func(_ *loop.Task, s message.Stream) {
		hint := message.Response{Status: 103}
		hint.Header.AddString("Link", "</a.css>")
		_ = s.Inform(&hint)
		p, _ := s.Read()
		respond(s, 200, string(p))
	}
	clients(t, Limits{}, handler, func(t *testing.T, c *http.Client, url string) {
		var interim []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			interim = append(interim, fmt.Sprint(code, h.Get("Link")))
			return nil
		}}
		req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "POST", url, strings.NewReader("hello"))
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if string(got) != "hello" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if diff := cmp.Diff([]string{"103</a.css>"}, interim); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPanicEndsOneStream(t *testing.T) {
	handler := func(_ *loop.Task, s message.Stream) {
		if s.Request().Method == "DELETE" {
			panic("on purpose")
		}
		respond(s, 200, "fine")
	}
	clients(t, Limits{}, handler, func(t *testing.T, c *http.Client, url string) {
		req, _ := http.NewRequest("DELETE", url, nil)
		if resp, err := c.Do(req); err == nil {
			resp.Body.Close()
			t.Errorf("status %d", resp.StatusCode)
		}
		resp, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	})
}

func TestResponseBeforeRequestEnds(t *testing.T) {
	handler := func(_ *loop.Task, s message.Stream) { respond(s, 413, "too much") }
	clients(t, Limits{}, handler, func(t *testing.T, c *http.Client, url string) {
		for range 3 {
			body, writer := io.Pipe() // never ends by itself
			resp, err := c.Post(url, "", body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			writer.Close()
			if resp.StatusCode != 413 || string(got) != "too much" || err != nil {
				t.Errorf("%d %q %v", resp.StatusCode, got, err)
			}
		}
	})
}
