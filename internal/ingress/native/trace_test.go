package native

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/switchyard-net/switchyard/internal/ingress/enginetest"
)

const (
	parentTrace, parentSpan = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	sampledParent           = "00-" + parentTrace + "-" + parentSpan + "-01"
	unsampledParent         = "00-" + parentTrace + "-" + parentSpan + "-00"
)

// received is a collector that keeps what it gets.
type received struct {
	collectorpb.UnimplementedTraceServiceServer
	mu       sync.Mutex
	spans    []*spans.Span       // guarded by mu
	services map[string]struct{} // guarded by mu: service.name of the resources
}

func (r *received) Export(_ context.Context, q *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range q.GetResourceSpans() {
		r.services[attributes(resource.GetResource().GetAttributes())["service.name"]] = struct{}{}
		for _, scope := range resource.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

// wait returns n spans, once they are there.
func (r *received) wait(t *testing.T, n int) []*spans.Span {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		r.mu.Lock()
		got := r.spans
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
		if time.Now().After(end) {
			t.Fatalf("%d spans have come, want %d", len(got), n)
		}
	}
}

// from returns the names of the services that have sent spans.
func (r *received) from() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.services))
}

// startCollector starts a collector that lives as long as the test, and returns its port.
func startCollector(t *testing.T) (*received, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &received{services: map[string]struct{}{}}
	s := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(s, r)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return r, l.Addr().(*net.TCPAddr).Port
}

func attributes(list []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			out[a.GetKey()] = fmt.Sprint(v.IntValue)
		}
	}
	return out
}

// traced is a ConfigMap that sends spans to a port, with further keys as YAML.
func traced(port int, keys string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: ConfigMap
metadata: {name: controller, namespace: ingress}
data:
  otlp-collector-host: 127.0.0.1
  otlp-collector-port: "%d"
  otel-schedule-delay-millis: "10"
`, port) + keys
}

// rule is an Ingress of a host of its own, with annotations as a YAML map.
func rule(name, annotations string) string {
	return fmt.Sprintf(`
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s, namespace: default, annotations: {%s}}
spec:
  rules:
  - host: %s.example
    http: {paths: [{path: /shop, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`, name, annotations, name)
}

const annotationPrefix = "nginx.ingress.kubernetes.io/"

func parent(value string) [][2]string {
	return [][2]string{{"traceparent", value}, {"tracestate", "a=1"}}
}

// sent returns the only traceparent that the backend was sent since the last call; "": none.
func sent(t *testing.T, e *enginetest.Entry) string {
	t.Helper()
	seen := e.Seen("web")
	if len(seen) != 1 {
		t.Fatalf("the backend has seen %d requests, want 1", len(seen))
	}
	values := seen[0].Header["Traceparent"]
	if len(values) > 1 {
		t.Fatalf("the backend has got %q, want one traceparent", values)
	}
	return strings.Join(values, "")
}

func TestSpan(t *testing.T) {
	got, port := startCollector(t)
	e := enginetest.Serve(t, start(), enginetest.Case{Manifest: rule("a", "") + traced(port, `  enable-opentelemetry: "true"`)})
	e.Do(t, enginetest.Step{Host: "a.example", Target: "/shop/x?y=1&status=503", Header: append(parent(sampledParent), [2]string{"User-Agent", "t"})})
	header := sent(t, e)
	s := got.wait(t, 1)[0]
	if want := "00-" + parentTrace + "-" + hex.EncodeToString(s.GetSpanId()) + "-01"; header != want {
		t.Errorf("the backend got traceparent %q, want %q", header, want)
	}
	if s.GetKind() != spans.Span_SPAN_KIND_SERVER || s.GetName() != "GET /shop" || hex.EncodeToString(s.GetTraceId()) != parentTrace ||
		hex.EncodeToString(s.GetParentSpanId()) != parentSpan || s.GetTraceState() != "a=1" || s.GetStatus().GetCode() != spans.Status_STATUS_CODE_ERROR {
		t.Errorf("the span is %v", s)
	}
	have := attributes(s.GetAttributes())
	delete(have, "http.response.body.size")
	want := map[string]string{
		"http.request.method": "GET", "http.route": "/shop", "url.path": "/shop/x", "url.scheme": "http", "server.address": "a.example",
		"server.port": have["server.port"], "client.address": "127.0.0.1", "network.protocol.version": "1.1", "user_agent.original": "t",
		"ingress.namespace": "default", "ingress.name": "a", "ingress.service_name": "default/web",
		"http.response.status_code": "503", "error.type": "503",
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"nginx"}, got.from()); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

// TestSpansAsAsked has what annotations and the ConfigMap say of parents and names.
func TestSpansAsAsked(t *testing.T) {
	got, port := startCollector(t)
	const enable = annotationPrefix + `enable-opentelemetry: "true"`
	e := enginetest.Serve(t, start(), enginetest.Case{Manifest: rule("off", "") + rule("on", enable+", "+annotationPrefix+"opentelemetry-operation-name: mine") +
		rule("untrusted", enable+", "+annotationPrefix+`opentelemetry-trust-incoming-span: "false"`) +
		traced(port, "  opentelemetry-operation-name: HTTP $request_method $service_name")})
	ask := func(host, traceparent string) string {
		e.Do(t, enginetest.Step{Host: host, Target: "/shop", Header: parent(traceparent)})
		return sent(t, e)
	}
	if got := ask("off.example", sampledParent); got != sampledParent {
		t.Errorf("without a span the backend got %q, want what the client has sent", got)
	}
	if got := ask("on.example", unsampledParent); !strings.HasPrefix(got, "00-"+parentTrace) || !strings.HasSuffix(got, "-00") || got == unsampledParent {
		t.Errorf("of a trace that is not sampled the backend got %q", got)
	}
	ask("on.example", sampledParent)
	if got := ask("untrusted.example", sampledParent); strings.Contains(got, parentTrace) || got == "" {
		t.Errorf("of a client that is not trusted the backend got %q, want a trace of our own", got)
	}
	if got := ask("on.example", "00-nonsense"); !strings.HasSuffix(got, "-01") {
		t.Errorf("in place of a bad traceparent the backend got %q", got)
	}
	names := map[string]int{}
	for _, s := range got.wait(t, 3) {
		names[s.GetName()]++
		if s.GetName() != "mine" && len(s.GetParentSpanId()) > 0 {
			t.Errorf("the span of a client that is not trusted has a parent")
		}
	}
	if diff := cmp.Diff(map[string]int{"mine": 2, "HTTP GET web": 1}, names); diff != "" {
		t.Errorf("names of spans (-want +got):\n%s", diff)
	}
}

// TestSampler: who is not sampled has no span, until the ConfigMap asks for it; the last spans are sent when the engine ends.
func TestSampler(t *testing.T) {
	got, port := startCollector(t)
	t.Run("requests", func(t *testing.T) {
		const on = "  enable-opentelemetry: \"true\"\n"
		e := enginetest.Serve(t, start(), enginetest.Case{Manifest: rule("a", "") + traced(port, on+"  otel-sampler: AlwaysOff\n")})
		step := enginetest.Step{Host: "a.example", Target: "/shop"}
		e.Do(t, step)
		if header := sent(t, e); !strings.HasSuffix(header, "-00") {
			t.Errorf("the backend got %q, want a trace that is not sampled", header)
		}
		e.Apply(t, rule("a", "")+traced(port, on+"  otel-sampler: TraceIdRatioBased\n  otel-sampler-ratio: \"1\"\n  otel-service-name: second\n"))
		e.Do(t, step)
	})
	if n := len(got.wait(t, 1)); n != 1 {
		t.Errorf("%d spans, want that of the second request", n)
	}
	if diff := cmp.Diff([]string{"second"}, got.from()); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

// TestHostileSpan: what is no UTF-8 does not take the other spans of its batch with it.
func TestHostileSpan(t *testing.T) {
	got, port := startCollector(t)
	e := enginetest.Serve(t, start(), enginetest.Case{Manifest: rule("a", "") + traced(port, `  enable-opentelemetry: "true"`)})
	e.Do(t, enginetest.Step{Host: "a.example", Target: "/shop/%ff", Header: [][2]string{{"User-Agent", "\xff"}}})
	if path := attributes(got.wait(t, 1)[0].GetAttributes())["url.path"]; path != "/shop/\uFFFD" {
		t.Errorf("url.path is %q", path)
	}
}

// TestNoCollector: a collector that takes nothing harms no request, however many spans there are.
func TestNoCollector(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // it takes connections, and never answers
	e := enginetest.Serve(t, start(), enginetest.Case{
		Manifest: rule("a", "") + traced(l.Addr().(*net.TCPAddr).Port, "  enable-opentelemetry: \"true\"\n  otel-max-queuesize: \"2\"\n"),
	})
	began := time.Now()
	for range 200 {
		e.Do(t, enginetest.Step{Host: "a.example", Target: "/shop"})
	}
	if n := len(e.Seen("web")); n != 200 {
		t.Errorf("the backend has seen %d requests, want 200", n)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("200 requests took %s", took)
	}
}
