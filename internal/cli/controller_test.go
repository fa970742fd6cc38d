package cli

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/endpoints"
	"github.com/switchyard-net/switchyard/internal/endpoints/endpointstest"
)

// TestControllerRefusesWithTheWayOut: each mistake is a usage error that names the flag, before anything is contacted.
func TestControllerRefusesWithTheWayOut(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	broken := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(broken, []byte("clusters: {"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"slice length":    {[]string{"--max-endpoints-per-slice=0"}, "--max-endpoints-per-slice=0: must be between 1 and 1000"},
		"lease times":     {[]string{"--leader-elect-lease-duration=1s"}, "--leader-elect-lease-duration=1s: must be longer than"},
		"rate":            {[]string{"--kube-api-burst=0"}, "--kube-api-burst=0: must not be 0"},
		"no cluster":      {nil, "name a kubeconfig file"},
		"no such file":    {[]string{"--kubeconfig=/nowhere"}, "--kubeconfig /nowhere:"},
		"not a config":    {[]string{"--kubeconfig=" + broken}, "--kubeconfig " + broken + ":"},
		"unknown flag":    {[]string{"--no-such-flag"}, "unknown flag: --no-such-flag"},
		"an argument":     {[]string{"extra"}, "unknown command"},
		"two at one time": {[]string{"--max-endpoints-per-slice=0", "--kube-api-qps=0"}, "--kube-api-qps=0"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := Main(append([]string{"controller"}, c.args...), &out, &errs); code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			if !strings.Contains(errs.String(), c.want) {
				t.Errorf("error output %q, want it to contain %q", errs.String(), c.want)
			}
		})
	}
}

func TestControllerServesItsState(t *testing.T) {
	registry := prometheus.NewRegistry()
	controllers, err := endpoints.New(endpoints.Defaults(), endpoints.Deps{
		Client: endpointstest.NewCluster(), Log: slog.New(slog.DiscardHandler), Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	process := &controllerProcess{controllers: controllers, registry: registry}
	for path, want := range map[string]int{
		"/healthz": http.StatusOK,
		"/readyz":  http.StatusServiceUnavailable, // it does not run
		"/metrics": http.StatusOK,
		"/other":   http.StatusNotFound,
	} {
		answer := httptest.NewRecorder()
		process.handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		if answer.Code != want {
			t.Errorf("%s answers %d (%s), want %d", path, answer.Code, answer.Body, want)
		}
	}
}
