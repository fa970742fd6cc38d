package proxy_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/switchyard-net/switchyard/internal/model"
)

// get returns the answer of a handler.
func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// codes returns the status codes of /healthz and /livez.
func (r *rig) codes() [2]int {
	return [2]int{get(r.health.Handler(), "/healthz").Code, get(r.health.Handler(), "/livez").Code}
}

func TestRule22_HealthzFollowsTheNodeAndLivezDoesNot(t *testing.T) {
	node := func(change func(*model.Node)) *model.Node {
		n := &model.Node{Name: thisNode}
		change(n)
		return n
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cluster.sync()
		defer r.start(t)()
		synctest.Wait()
		expect := func(what string, want [2]int) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, r.codes()); diff != "" {
				t.Errorf("%s: /healthz, /livez (-want +got):\n%s", what, diff)
			}
		}
		expect("a node", [2]int{200, 200})
		r.cluster.node(node(func(n *model.Node) { n.Deleting = true }))
		expect("a node with a deletionTimestamp", [2]int{503, 200})
		r.cluster.node(node(func(n *model.Node) { n.DrainedByAutoscaler = true }))
		expect("a node that the autoscaler will delete", [2]int{503, 200})
		r.cluster.node(node(func(*model.Node) {}))
		expect("the node as before", [2]int{200, 200})
		r.cluster.deleteNode()
		expect("no node", [2]int{503, 200})
	})
}

func TestRule22_UnhealthyWhenAChangeWaitsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cluster.sync()
		defer r.start(t)()
		synctest.Wait()
		var broken atomic.Bool
		broken.Store(true)
		r.kernel.fail = func() error {
			if broken.Load() {
				return errors.New("injected")
			}
			return nil
		}
		r.cluster.service(service("a", "10.96.0.1", model.TCP))
		time.Sleep(59 * time.Second)
		if diff := cmp.Diff([2]int{200, 200}, r.codes()); diff != "" {
			t.Errorf("before the timeout (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Second)
		if diff := cmp.Diff([2]int{503, 503}, r.codes()); diff != "" {
			t.Errorf("after the timeout (-want +got):\n%s", diff)
		}
		broken.Store(false)
		time.Sleep(11 * time.Second)
		if diff := cmp.Diff([2]int{200, 200}, r.codes()); diff != "" {
			t.Errorf("after recovery (-want +got):\n%s", diff)
		}
	})
}

func TestRule22_Body(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cluster.sync()
		defer r.start(t)()
		synctest.Wait()
		done := time.Now().UTC().Format(time.RFC3339Nano)
		time.Sleep(20 * time.Second)
		now := time.Now().UTC().Format(time.RFC3339Nano)
		family := map[string]any{"lastUpdated": done, "healthy": true}
		want := map[string]any{
			"lastUpdated": now, "currentTime": now, "healthy": true,
			"status": map[string]any{"IPv4": family, "IPv6": family},
		}
		check := func(path string) {
			t.Helper()
			w := get(r.health.Handler(), path)
			var got map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			for _, at := range []map[string]any{got, got["status"].(map[string]any)["IPv4"].(map[string]any), got["status"].(map[string]any)["IPv6"].(map[string]any)} {
				for _, key := range []string{"lastUpdated", "currentTime"} {
					if text, ok := at[key].(string); ok {
						parsed, _ := time.Parse(time.RFC3339Nano, text)
						at[key] = parsed.UTC().Format(time.RFC3339Nano)
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
		check("/livez")
		want["nodeEligible"] = true
		check("/healthz")
	})
}
