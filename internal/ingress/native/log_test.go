package native

import (
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/ingress/enginetest"
)

// sink is what an access log is written to.
type sink struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

const logged = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: logged, namespace: default}
spec:
  rules:
  - host: example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: quiet, namespace: default, annotations: {nginx.ingress.kubernetes.io/enable-access-log: "false"}}
spec:
  rules:
  - host: quiet.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`

// serveLogged serves requests and returns the log of them, which is whole when the engine has ended.
func serveLogged(t *testing.T, configMap string, registry prometheus.Registerer, steps ...enginetest.Step) string {
	t.Helper()
	out := &sink{}
	t.Run("requests", func(t *testing.T) {
		s := start()
		s.New = func(t testing.TB) enginetest.Started { return startWith(t, Deps{Access: out, Metrics: registry}) }
		e := enginetest.Serve(t, s, enginetest.Case{Manifest: logged + configMap})
		for _, step := range steps {
			e.Do(t, step)
		}
		if r, ok := registry.(*prometheus.Registry); ok {
			checkMetrics(t, r)
		}
	})
	return out.String()
}

func TestAccessLog(t *testing.T) {
	log := serveLogged(t, "", nil,
		enginetest.Step{Target: "/a?b=%22", Header: [][2]string{{"User-Agent", `x"y\`}, {"X-Request-ID", "id-1"}}},
		enginetest.Step{Host: "quiet.example"},
		enginetest.Step{Host: "unknown.example"},
	)
	want := regexp.MustCompile(`^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a\?b=%22 HTTP/1\.1" 200 \d+ "-" "x\\x22y\\x5C" ` +
		`\d+ \d\.\d{3} \[default-web-80\] \[-\] 127\.0\.0\.1:\d+ \d+ \d\.\d{3} 200 id-1\n$`)
	if !want.MatchString(log) {
		t.Errorf("the log is %q, want it to match %s", log, want)
	}
}

func TestAccessLogJSON(t *testing.T) {
	const configMap = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: controller, namespace: ingress}
data: {log-format-escape-json: "true", enable-access-log-for-default-backend: "true"}
`
	log := serveLogged(t, configMap, nil,
		enginetest.Step{Header: [][2]string{{"User-Agent", `x"y\`}}}, enginetest.Step{Host: "unknown.example"})
	lines := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2: %s", len(lines), log)
	}
	byStatus := map[any]map[string]any{} // the lines of two loops may be in any order
	for _, line := range lines {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		byStatus[got["status"]] = got
	}
	if got := byStatus[200.0]; got["user_agent"] != `x"y\` || got["ingress"] != "logged" {
		t.Errorf("the line of the request that was served is %v", got)
	}
	if got := byStatus[404.0]; got["host"] != "unknown.example" {
		t.Errorf("the line of the request for an unknown host is %v", got)
	}
}

func TestAccessLogOwnFormat(t *testing.T) {
	const configMap = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: controller, namespace: ingress}
data: {log-format-upstream: "${request_method} $host$uri $http_x_a $unknown|$cookie_c"}
`
	log := serveLogged(t, configMap, nil,
		enginetest.Step{Target: "/x", Method: "DELETE", Header: [][2]string{{"X-A", "1"}, {"Cookie", "c=2"}}})
	if want := "DELETE example.com/x 1 -|2\n"; log != want {
		t.Errorf("the log is %q, want %q", log, want)
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	serveLogged(t, "", registry,
		enginetest.Step{}, enginetest.Step{Method: "PURGE"}, enginetest.Step{Target: "/?status=500"}, enginetest.Step{Host: "unknown.example"})
}

// checkMetrics compares those that do not depend on time.
func checkMetrics(t *testing.T, registry *prometheus.Registry) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	const requests, of = "nginx_ingress_controller_requests canary=false ", " namespace=default path=/ service=web"
	for name, want := range map[string]float64{
		requests + "host=example.com ingress=logged method=GET" + of + " status=200":             1,
		requests + "host=example.com ingress=logged method=GET" + of + " status=500":             1,
		requests + "host=example.com ingress=logged method=OTHER" + of + " status=200":           1,
		requests + "host= ingress= method=GET namespace= path=/ service= status=404":             1,
		"nginx_ingress_controller_request_duration_seconds host=example.com ingress=logged" + of: 3,
		"nginx_ingress_controller_nginx_process_requests_total":                                  4,
		"nginx_ingress_controller_nginx_process_connections_total state=accepted":                4,
		"switchyard_ingress_panics_total":                                                        0,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v, %v; want %v", name, value, ok, want)
		}
	}
}

// FuzzLogEscape has hostile values in a log: a line stays one.
func FuzzLogEscape(f *testing.F) {
	f.Add("a\nb\"\\\x00\x7f\xff", true)
	f.Fuzz(func(t *testing.T, value string, asJSON bool) {
		got := (&logFormat{json: asJSON}).escape([]byte(value), 0)
		if strings.ContainsAny(string(got), "\n\r") {
			t.Errorf("%q has a line end", got)
		}
		var text string
		if asJSON && json.Unmarshal([]byte(`"`+string(got)+`"`), &text) != nil {
			t.Errorf("%q is not a text of JSON", got)
		}
	})
}
