package trace

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/policy"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// testTracer is one whose collector cannot be reached, and which samples as the parent says, or nothing.
func testTracer(t testing.TB) *Tracer {
	tracer := New(settings.Tracing{Host: "127.0.0.1", Port: 1, ParentBased: true, Sampler: settings.SampleNone}, slog.New(slog.DiscardHandler))
	t.Cleanup(tracer.Close)
	return tracer
}

func exchange(fields ...string) *policy.Exchange {
	x := &policy.Exchange{
		Request:  &message.Request{Method: "GET", Path: "/", Major: 2},
		Location: &route.Location{Path: "/", Settings: &settings.Settings{}}, Client: netip.MustParseAddr("192.0.2.1"),
	}
	for i := 0; i < len(fields); i += 2 {
		x.Request.Header = append(x.Request.Header, message.Field{Name: []byte(fields[i]), Value: []byte(fields[i+1])})
	}
	return x
}

// TestParent has which fields of a client make it the parent.
func TestParent(t *testing.T) {
	tracer := testTracer(t)
	for name, c := range map[string]struct {
		fields  []string
		trusted bool
		state   string
	}{
		"none":            {nil, false, ""},
		"one":             {[]string{"Traceparent", parent}, true, ""},
		"two":             {[]string{"traceparent", parent, "traceparent", parent}, false, ""},
		"with its state":  {[]string{"traceparent", parent, "tracestate", "a=1", "tracestate", "b=2"}, true, "a=1,b=2"},
		"a bad state":     {[]string{"traceparent", parent, "tracestate", "="}, true, ""},
		"of zeros":        {[]string{"traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"}, false, ""},
		"only a state":    {[]string{"tracestate", "a=1"}, false, ""},
		"with a line end": {[]string{"traceparent", parent + "\r\nx: y"}, false, ""},
	} {
		x := exchange(c.fields...)
		s := tracer.Begin(x)
		if trusted := strings.HasPrefix(string(s.Parent), parent[:36]) && strings.HasSuffix(string(s.Parent), "-01"); trusted != c.trusted || string(s.State) != c.state {
			t.Errorf("%s: the backend gets %q, %q", name, s.Parent, s.State)
		}
		s.End(x, Result{Status: 200})
	}
}

// TestClosed: requests that are still under way once the tracer is closed, or that come then, need not care.
func TestClosed(t *testing.T) {
	tracer, x := testTracer(t), exchange("traceparent", parent)
	s := tracer.Begin(x)
	tracer.Close()
	s.End(x, Result{Status: 200})
	late := testTracer(t)
	late.Close()
	late.Begin(x).End(x, Result{})
	if late.provider != nil {
		t.Error("a closed tracer has started")
	}
	if none := New(settings.Tracing{}, nil); none != nil {
		t.Error("there is a tracer without a collector")
	}
}

func FuzzReceived(f *testing.F) {
	f.Add(parent, "a=1")
	tracer := testTracer(f)
	f.Fuzz(func(t *testing.T, traceparent, state string) {
		x := exchange("traceparent", traceparent, "tracestate", state)
		s := tracer.Begin(x)
		if strings.ContainsAny(string(s.Parent)+string(s.State), "\r\n") || len(s.Parent) != len(parent) {
			t.Errorf("%q, %q become %q, %q", traceparent, state, s.Parent, s.State)
		}
		s.End(x, Result{Status: 200})
	})
}

// BenchmarkSpan is what a request costs that is sampled, and one that is not.
func BenchmarkSpan(b *testing.B) {
	for name, fields := range map[string][]string{"sampled": {"traceparent", parent}, "not": nil} {
		b.Run(name, func(b *testing.B) {
			tracer, x := testTracer(b), exchange(fields...)
			b.ReportAllocs()
			for b.Loop() {
				tracer.Begin(x).End(x, Result{Status: 200})
			}
		})
	}
}
