package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Status is what the metrics port (kube-proxy's :10249) shows of a node's proxy.
type Status struct {
	// Mode is the answer to /proxyMode.
	Mode string
	// Registry is the source of /metrics.
	Registry prometheus.Gatherer
	// Configuration is shown by /configz as JSON, under the API group of the configuration file.
	Configuration any
	// Flags is shown by /flagz, one "name=value" each.
	Flags []string
	// Version of the program, for /statusz.
	Version string
	// Profiling serves /debug/pprof.
	Profiling bool
	// Started is when the process began.
	Started time.Time
}

// configurationGroup is the key that kube-proxy's /configz has.
const configurationGroup = "kubeproxy.config.k8s.io"

// Handler serves the paths that kube-proxy serves there (cmd/kube-proxy/app/server.go, serveMetrics).
func (s Status) Handler() http.Handler {
	pages := map[string]http.HandlerFunc{
		"/healthz":   func(w http.ResponseWriter, _ *http.Request) { writeText(w, "ok") },
		"/proxyMode": func(w http.ResponseWriter, _ *http.Request) { writeText(w, s.Mode) },
		"/metrics":   promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{}).ServeHTTP,
		"/configz":   s.serveConfiguration,
		"/flagz":     s.serveFlags,
	}
	if s.Profiling {
		pages["/debug/pprof/"] = pprof.Index
		pages["/debug/pprof/cmdline"] = pprof.Cmdline
		pages["/debug/pprof/profile"] = pprof.Profile
		pages["/debug/pprof/symbol"] = pprof.Symbol
		pages["/debug/pprof/trace"] = pprof.Trace
	}
	mux := http.NewServeMux()
	var paths []string
	for path, handler := range pages {
		mux.HandleFunc(path, handler)
		paths = append(paths, path)
	}
	slices.Sort(paths)
	mux.HandleFunc("/statusz", func(w http.ResponseWriter, _ *http.Request) { s.serveStatus(w, paths) })
	return mux
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	fmt.Fprint(w, text)
}

func (s Status) serveConfiguration(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// An error here is that of a client that went away.
	_ = json.NewEncoder(w).Encode(map[string]any{configurationGroup: s.Configuration})
}

func (s Status) serveFlags(w http.ResponseWriter, _ *http.Request) {
	writeText(w, "switchyard node flags\n\n"+strings.Join(s.Flags, "\n")+"\n")
}

func (s Status) serveStatus(w http.ResponseWriter, paths []string) {
	now := time.Now()
	writeText(w, fmt.Sprintf("switchyard node statusz\n\nStarted: %s\nUp: %s\nGo version: %s\nBinary version: %s\nPaths: %s\n",
		s.Started.UTC().Format(time.RFC3339), now.Sub(s.Started).Truncate(time.Second), runtime.Version(), s.Version,
		strings.Join(paths, " ")))
}
