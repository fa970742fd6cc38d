package settings

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTracing(t *testing.T) {
	got, problems := globalOf(map[string]string{
		"enable-opentelemetry": "true", "opentelemetry-operation-name": "HTTP $request_method", "opentelemetry-trust-incoming-span": "false",
		"otlp-collector-host": "collector.example", "otlp-collector-port": "14317", "otel-service-name": "entry", "otel-sampler": "TraceIdRatioBased",
		"otel-sampler-parent-based": "false", "otel-sampler-ratio": "0.5", "otel-max-queuesize": "10", "otel-max-export-batch-size": "5",
		"otel-schedule-delay-millis": "250",
	})
	want := Default()
	want.Tracing = Tracing{
		Host: "collector.example", Port: 14317, Service: "entry", Sampler: SampleRatio, Ratio: 0.5, Queue: 10, Batch: 5, Delay: 250 * time.Millisecond,
	}
	want.Defaults.Trace = Trace{On: true, Untrusted: true, Operation: "HTTP $request_method"}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if len(problems) != 0 {
		t.Errorf("problems: %v", problems)
	}
}

func TestBadTracing(t *testing.T) {
	for key, value := range map[string]string{
		"otlp-collector-port": "0", "otel-sampler": "Sometimes", "otel-sampler-ratio": "NaN", "otel-max-queuesize": "2000000000",
		"otel-max-export-batch-size": "0", "otel-schedule-delay-millis": "-1",
	} {
		got, problems := globalOf(map[string]string{key: value})
		if len(problems) != 1 || problems[0].Field != key || problems[0].Effect != Lost {
			t.Errorf("%s=%s: problems %v, want one that it is lost", key, value, problems)
		}
		if diff := cmp.Diff(Default(), got, equal); diff != "" {
			t.Errorf("%s=%s has changed settings (-default +got):\n%s", key, value, diff)
		}
	}
}

// TestNoCollector: who asks for spans that go nowhere is told.
func TestNoCollector(t *testing.T) {
	if _, problems := globalOf(map[string]string{"enable-opentelemetry": "true"}); len(problems) != 1 || problems[0].Effect != Lost {
		t.Errorf("of the ConfigMap: problems %v, want one", problems)
	}
	if _, problems := parseOf(Default(), "enable-opentelemetry=true"); len(problems) != 1 || problems[0].Effect != Lost {
		t.Errorf("of an Ingress: problems %v, want one", problems)
	}
}
