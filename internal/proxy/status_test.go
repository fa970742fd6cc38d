package proxy_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/proxy"
)

func TestRule23_StatusPages(t *testing.T) {
	r := newRig(t)
	status := proxy.Status{
		Mode: "nftables", Registry: r.registry, Configuration: map[string]string{"mode": "nftables"},
		Flags: []string{"v=0"}, Version: "v1", Profiling: true, Started: time.Now(),
	}
	handler := status.Handler()
	for path, want := range map[string]string{
		"/proxyMode": "nftables", "/healthz": "ok", "/configz": `{"kubeproxy.config.k8s.io":{"mode":"nftables"}}` + "\n",
	} {
		w := get(handler, path)
		if diff := cmp.Diff(want, w.Body.String()); w.Code != http.StatusOK || diff != "" {
			t.Errorf("%s: %d (-want +got):\n%s", path, w.Code, diff)
		}
	}
	if got := get(handler, "/proxyMode").Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("/proxyMode has Content-Type %q", got)
	}
	for path, part := range map[string]string{
		"/metrics": "kubeproxy_sync_proxy_rules_service_changes_total 0", "/flagz": "v=0", "/statusz": "Binary version: v1",
		"/debug/pprof/": "goroutine", "/debug/pprof/cmdline": "",
	} {
		if w := get(handler, path); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), part) {
			t.Errorf("%s: %d, without %q", path, w.Code, part)
		}
	}
	status.Profiling = false
	if w := get(status.Handler(), "/debug/pprof/"); w.Code != http.StatusNotFound {
		t.Errorf("/debug/pprof/ without profiling: %d", w.Code)
	}
}

func TestServerFailsOrTriesAgain(t *testing.T) {
	ns := nodeNamespace(t)
	listen := func(ctx context.Context, failOnBind bool) error {
		server := proxy.Server{
			Name: "test", Address: "192.0.2.99:1", Handler: http.NotFoundHandler(), FailOnBind: failOnBind,
			Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		}
		return ns.Do(func() error { return server.Run(ctx) })
	}
	if err := listen(t.Context(), true); err == nil || !strings.Contains(err.Error(), "192.0.2.99:1") {
		t.Errorf("an address of another host: %v; want an error that names it", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := listen(ctx, false); err != nil {
		t.Errorf("without FailOnBind: %v", err)
	}
}

func TestRule35_MetricsOfKubeProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s := service("a", "10.96.0.1", model.TCP)
		s.InternalLocal = true
		r.cluster.service(s)
		r.cluster.slices(s.Ref, slice(s, "10.244.0.1 rs"))
		r.cluster.sync()
		defer r.start(t)()
		synctest.Wait()
		time.Sleep(10 * time.Second)
		next := slice(s, "10.244.0.1 rs", "10.244.0.2 rsl")
		next.TriggerTime = time.Now().Add(-3 * time.Second)
		r.cluster.slices(s.Ref, next)
		time.Sleep(time.Second)
		for name, want := range map[string]float64{
			`kubeproxy_sync_proxy_rules_duration_seconds{ip_family="IPv4"}`:                                   2,
			`kubeproxy_sync_full_proxy_rules_duration_seconds{ip_family="IPv6"}`:                              1,
			`kubeproxy_sync_partial_proxy_rules_duration_seconds{ip_family="IPv4"}`:                           1,
			`kubeproxy_network_programming_duration_seconds{ip_family="IPv4"}`:                                1,
			`kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"}`:                             float64(time.Now().Unix() - 1),
			`kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"}`:                      float64(time.Now().Unix() - 1),
			`kubeproxy_sync_proxy_rules_service_changes_total`:                                                1,
			`kubeproxy_sync_proxy_rules_endpoint_changes_total`:                                               2,
			`kubeproxy_sync_proxy_rules_service_changes_pending`:                                              0,
			`kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="internal"}`: 0,
			`kubeproxy_sync_proxy_rules_iptables_total{ip_family="IPv4",table="nat"}`:                         1,
			`switchyard_proxy_rules{ip_family="IPv4",table="nat"}`:                                            1,
			`switchyard_proxy_chains{ip_family="IPv4",table="nat"}`:                                           2,
			`switchyard_proxy_applied_generation`:                                                             5,
			`switchyard_proxy_desired_generation`:                                                             5,
		} {
			if got := r.metric(t, name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	})
}

// metric returns a gauge's or counter's value, and of a histogram the number of observations.
func (r *rig) metric(t *testing.T, name string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			full := family.GetName()
			if labels != nil {
				full += "{" + strings.Join(labels, ",") + "}"
			}
			if full != name {
				continue
			}
			switch {
			case m.GetHistogram() != nil:
				return float64(m.GetHistogram().GetSampleCount())
			case m.GetCounter() != nil:
				return m.GetCounter().GetValue()
			}
			return m.GetGauge().GetValue()
		}
	}
	t.Errorf("no metric %s", name)
	return -1
}
