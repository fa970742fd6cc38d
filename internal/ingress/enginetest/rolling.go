package enginetest

import (
	"context"
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
)

// Rolling replaces all endpoints of a Service one after another, some times over, while requests go on: none may be lost. An endpoint
// goes as a pod does: it is taken out of its slice, serves for a moment more, and then ends.
func Rolling(t *testing.T, start Start) {
	e := Serve(t, start, Case{Manifest: site{}.String() + site{name: "other", host: "other.example", annotations: "load-balance: round_robin"}.String()})
	e.backends["web"] = nil
	var pods []*httptest.Server
	for range 3 {
		pods = append(pods, e.startPod(t))
	}
	e.Apply(t, e.manifest)

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var served, lost atomic.Int64
	for worker := range 4 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{DialContext: e.dialHTTP}}
			defer client.CloseIdleConnections()
			for i := 0; ctx.Err() == nil; i++ {
				if err := e.once(client, worker, i); err != nil {
					lost.Add(1)
					t.Log(err)
				}
				served.Add(1)
			}
		})
	}
	for range 30 {
		pods = append(pods, e.startPod(t))
		e.backends["web"] = e.backends["web"][1:]
		e.Apply(t, e.manifest)
		oldest := pods[0]
		pods = pods[1:]
		wg.Go(func() {
			time.Sleep(preStop)
			if err := oldest.Config.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(preStop / 50)
	}
	time.Sleep(preStop)
	stop()
	wg.Wait()
	t.Logf("%d requests while 30 endpoints were replaced", served.Load())
	if lost.Load() > 0 || served.Load() < 100 {
		t.Errorf("%d of %d requests were lost", lost.Load(), served.Load())
	}
}

// preStop is how long an endpoint goes on serving once it is taken out of its slice, as pods do by a hook of that name: a request may
// be on its way to it.
const preStop = time.Second

// startPod starts a server and makes it an endpoint of "web".
func (e *Entry) startPod(t testing.TB) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(s.Close)
	e.backends["web"] = append(e.backends["web"], &backend{name: "web", addr: netip.MustParseAddrPort(s.Listener.Addr().String())})
	return s
}

func (e *Entry) dialHTTP(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", e.HTTP)
}

// once makes a request that has to be served: a GET, or a POST that may not be sent twice.
func (e *Entry) once(client *http.Client, worker, i int) error {
	method, body := "GET", ""
	if i%2 == 1 {
		method, body = "POST", fmt.Sprint(worker, " ", i)
	}
	host := [2]string{"example.com", "other.example"}[worker%2]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+host+"/", strings.NewReader(body))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode != 200 || string(got) != body:
		return fmt.Errorf("%s: status %d, body %q, want %q", method, response.StatusCode, got, body)
	}
	return nil
}
