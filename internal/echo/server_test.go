package echo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/switchyard-net/switchyard/internal/echo"
)

// start runs a server on free loopback ports and returns it with the function that ends its context.
func start(t *testing.T, drain time.Duration) (*echo.Server, context.CancelFunc, <-chan error) {
	t.Helper()
	server := echo.New(echo.Config{
		HTTP: "127.0.0.1:0", TCP: "127.0.0.1:0", UDP: "127.0.0.1:0", Drain: drain,
		Identity: echo.Identity{Pod: "web-1", Node: "node-1", IP: "10.0.0.7"},
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(cancel)
	deadline := time.Now().Add(10 * time.Second)
	for server.Addr("udp") == nil {
		if time.Now().After(deadline) {
			t.Fatal("the server listens on nothing after 10s")
		}
		time.Sleep(time.Millisecond)
	}
	return server, cancel, ended
}

func request(t *testing.T, method, url, accept string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestHTTPAnswerNamesPodAndRequest(t *testing.T) {
	server, _, _ := start(t, 0)
	base := "http://" + server.Addr("http").String()
	status, body := request(t, "GET", base+"/some/path?q=1", "application/json")
	if status != http.StatusOK {
		t.Fatalf("status %d, want 200", status)
	}
	var got echo.Answer
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.Client, "127.0.0.1:") {
		t.Errorf("client %q is not the loopback address", got.Client)
	}
	got.Client = ""
	want := echo.Answer{
		Identity: echo.Identity{Pod: "web-1", Node: "node-1", IP: "10.0.0.7"},
		Request:  "GET /some/path?q=1", Host: strings.TrimPrefix(base, "http://"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if _, text := request(t, "GET", base+"/", ""); !strings.Contains(text, "pod:     web-1\nnode:    node-1\n") {
		t.Errorf("text answer %q does not name pod and node", text)
	}
}

func TestReadinessFollowsClients(t *testing.T) {
	server, _, _ := start(t, 0)
	base := "http://" + server.Addr("http").String()
	steps := []struct {
		method, path string
		status       int
	}{
		{"GET", "/readyz", 200},
		{"POST", "/ready?ok=false", 200},
		{"GET", "/readyz", 503},
		{"GET", "/healthz", 200},
		{"GET", "/pod", 200},
		{"POST", "/ready?ok=maybe", 400},
		{"POST", "/ready?ok=true", 200},
		{"GET", "/readyz", 200},
	}
	for _, step := range steps {
		if status, body := request(t, step.method, base+step.path, ""); status != step.status {
			t.Errorf("%s %s: status %d (%q), want %d", step.method, step.path, status, body, step.status)
		}
	}
}

func TestDrainKeepsServingWhileUnready(t *testing.T) {
	server, cancel, ended := start(t, time.Second)
	base := "http://" + server.Addr("http").String()
	cancel()
	for server.Ready() {
		time.Sleep(time.Millisecond)
	}
	if status, _ := request(t, "GET", base+"/readyz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz while draining: status %d, want 503", status)
	}
	if status, body := request(t, "GET", base+"/pod", ""); status != http.StatusOK || body != "web-1\n" {
		t.Errorf("/pod while draining: %d %q, want 200 and the pod's name", status, body)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run returned %v after a drain, want nil", err)
	}
}

func TestLinesOverTCPAndUDP(t *testing.T) {
	server, _, _ := start(t, 0)
	for _, protocol := range []string{"tcp", "udp"} {
		conn, err := net.Dial(protocol, server.Addr(protocol).String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := fmt.Fprintln(conn, "hello"); err != nil {
			t.Fatal(err)
		}
		got, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("pod=web-1 node=node-1 ip=10.0.0.7 client=%s \"hello\"\n", conn.LocalAddr())
		if got != want {
			t.Errorf("%s answer %q, want %q", protocol, got, want)
		}
	}
}

func TestLoadCountsAnswersByPod(t *testing.T) {
	server, cancel, ended := start(t, 0)
	load := echo.Load{URL: "http://" + server.Addr("http").String(), Count: 20, Workers: 3}
	got := load.Run(context.Background())
	got.Last = nil
	want := echo.Outcome{Requests: 20, Pods: map[string]int{"web-1": 20}, Errors: map[string]int{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	load.Count = 2
	if got := load.Run(context.Background()); got.Failed != 2 || len(got.Errors) == 0 {
		t.Errorf("after the server ended: %d of %d failed with %v, want both and a reason", got.Failed, got.Requests, got.Errors)
	}
}

func TestNothingToListenOnIsAnError(t *testing.T) {
	err := echo.New(echo.Config{}, slog.New(slog.DiscardHandler)).Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "--http") {
		t.Errorf("error %v, want one that names the flags", err)
	}
}
