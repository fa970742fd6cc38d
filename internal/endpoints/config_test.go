package endpoints

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/endpoints/endpointstest"
)

func TestConfigNamesTheFlagAndTheWayOut(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for flag, change := range map[string]func(*Config){
		"--max-endpoints-per-slice=1001":                    func(c *Config) { c.Slices.MaxEndpointsPerSlice = 1001 },
		"--max-endpoints-per-slice=0":                       func(c *Config) { c.Slices.MaxEndpointsPerSlice = 0 },
		"--concurrent-service-endpoint-syncs=51":            func(c *Config) { c.Slices.ConcurrentSyncs = 51 },
		"--endpointslice-updates-batch-period=-1ns":         func(c *Config) { c.Slices.UpdatesBatchPeriod = -1 },
		"--concurrent-endpoint-syncs=0":                     func(c *Config) { c.Endpoints.ConcurrentSyncs = 0 },
		"--endpoint-updates-batch-period=-1ns":              func(c *Config) { c.Endpoints.UpdatesBatchPeriod = -1 },
		"--mirroring-max-endpoints-per-subset=1001":         func(c *Config) { c.Mirroring.MaxEndpointsPerSubset = 1001 },
		"--mirroring-concurrent-service-endpoint-syncs=0":   func(c *Config) { c.Mirroring.ConcurrentSyncs = 0 },
		"--mirroring-endpointslice-updates-batch-period=-1": func(c *Config) { c.Mirroring.UpdatesBatchPeriod = -1 },
		"--min-resync-period=-1ns":                          func(c *Config) { c.Resync = -1 },
	} {
		cfg := Defaults()
		change(&cfg)
		err := cfg.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), flag) || !strings.Contains(err.Error(), "default") {
			t.Errorf("%s: the error is %v, want one that names the flag and the default", flag, err)
		}
	}
}

// TestMetricsHaveUpstreamsNames: the dashboards for kube-controller-manager go on working.
func TestMetricsHaveUpstreamsNames(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 { // a second set of controllers shares the metrics of the first
		deps := Deps{Client: endpointstest.NewCluster(), Log: slog.New(slog.DiscardHandler), Registerer: registry}
		controllers, err := New(Defaults(), deps)
		if err != nil {
			t.Fatal(err)
		}
		countSync(nil)
		controllers.mirroring.observe(endpointCounts{})
		controllers.queues.NewDepthMetric("endpoint_slice").Inc()
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, family := range families {
		served[family.GetName()] = true
	}
	for _, name := range []string{
		"endpoint_slice_controller_syncs",
		"endpoint_slice_mirroring_controller_endpoints_added_per_sync",
		"workqueue_depth",
	} {
		if !served[name] {
			t.Errorf("the metric %s is not served", name)
		}
	}
}
