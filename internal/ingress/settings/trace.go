package settings

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Tracing is where spans of requests go, and which of them (the otlp-… and otel-… keys of the ConfigMap).
type Tracing struct {
	// Host and Port are the collector's, which takes OTLP over gRPC; Host "": no request is traced.
	Host string
	Port int
	// Service is the attribute service.name of all spans.
	Service string
	// Sampler decides which requests have a span. ParentBased leaves the decision to the client where that is trusted and has made one.
	Sampler     Sampler
	ParentBased bool
	// Ratio is the share of traces that SampleRatio takes, from 0 to 1.
	Ratio float64
	// Queue is how many spans may wait to be sent, Batch how many go at a time, Delay how long one may wait for others.
	Queue, Batch int
	Delay        time.Duration
}

// Trace is the span of each request to a location.
type Trace struct {
	On bool
	// Untrusted begins a trace of its own where the client sends a traceparent (W3C Trace Context).
	Untrusted bool
	// Operation is the span's name, and may hold variables; "": the method and the path of the rule.
	Operation string
}

// Sampler is a sampler of the OpenTelemetry SDK.
type Sampler uint8

// The samplers.
const (
	SampleAll   Sampler = iota // AlwaysOn
	SampleNone                 // AlwaysOff
	SampleRatio                // TraceIdRatioBased
)

// defaultTracing returns the defaults of ingress-nginx.
func defaultTracing() Tracing {
	return Tracing{
		Port: 4317, Service: "nginx", ParentBased: true, Ratio: 0.01, Queue: 2048, Batch: 512, Delay: 5 * time.Second,
	}
}

const (
	onlyNative  = "with `--engine=native`"
	noCollector = "no request is traced without otlp-collector-host in the ConfigMap; set it to where OTLP over gRPC is taken"
)

func tracingKeys() map[string]globalKey {
	keys := map[string]globalKey{
		"enable-opentelemetry": {read: func(r *globalReader, v string) error {
			err := r.boolean(&r.global.Defaults.Trace.On, v)
			if r.global.Defaults.Trace.On && r.data["otlp-collector-host"] == "" {
				r.problem(Lost, "enable-opentelemetry", "%s", noCollector)
			}
			return err
		}},
		"opentelemetry-operation-name": word(func(g *Global) *string { return &g.Defaults.Trace.Operation }),
		"opentelemetry-trust-incoming-span": {read: func(r *globalReader, v string) error {
			trust := true
			err := r.boolean(&trust, v)
			r.global.Defaults.Trace.Untrusted = !trust
			return err
		}},
		"otlp-collector-host":        word(func(g *Global) *string { return &g.Tracing.Host }),
		"otlp-collector-port":        {read: readCollectorPort},
		"otel-service-name":          word(func(g *Global) *string { return &g.Tracing.Service }),
		"otel-sampler":               {read: readSampler},
		"otel-sampler-parent-based":  toggle(func(g *Global) *bool { return &g.Tracing.ParentBased }),
		"otel-sampler-ratio":         {read: readRatio},
		"otel-max-queuesize":         spans(func(g *Global) *int { return &g.Tracing.Queue }),
		"otel-max-export-batch-size": spans(func(g *Global) *int { return &g.Tracing.Batch }),
		"otel-schedule-delay-millis": {read: func(r *globalReader, v string) error {
			millis := int(r.global.Tracing.Delay / time.Millisecond)
			err := r.number(&millis, v, 1)
			r.global.Tracing.Delay = time.Duration(millis) * time.Millisecond
			return err
		}},
	}
	for name, k := range keys {
		k.note = onlyNative
		keys[name] = k
	}
	return keys
}

// mostSpans bounds what is kept in memory for the collector.
const mostSpans = 1 << 20

// spans reads a number of spans.
func spans(at func(*Global) *int) globalKey {
	return globalKey{read: func(r *globalReader, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > mostSpans {
			return fmt.Errorf("it has to be a number of spans from 1 to %d", mostSpans)
		}
		*at(r.global) = n
		return nil
	}}
}

func readCollectorPort(r *globalReader, v string) error {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n == 0 {
		return errors.New("it has to be a port from 1 to 65535")
	}
	r.global.Tracing.Port = int(n)
	return nil
}

func readSampler(r *globalReader, v string) error {
	switch v {
	case "AlwaysOn":
		r.global.Tracing.Sampler = SampleAll
	case "AlwaysOff":
		r.global.Tracing.Sampler = SampleNone
	case "TraceIdRatioBased":
		r.global.Tracing.Sampler = SampleRatio
	default:
		return errors.New("it has to be AlwaysOn, AlwaysOff or TraceIdRatioBased")
	}
	return nil
}

func readRatio(r *globalReader, v string) error {
	ratio, err := strconv.ParseFloat(v, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		return errors.New("it has to be a number from 0 to 1")
	}
	r.global.Tracing.Ratio = ratio
	return nil
}

func (p *parser) trace() {
	t := &p.out.Trace
	if p.boolean("enable-opentelemetry", &t.On) && t.On && p.env.Global.Tracing.Host == "" {
		p.problem(Lost, ReasonIgnored, "enable-opentelemetry", "%s", noCollector)
	}
	trust := !t.Untrusted
	p.boolean("opentelemetry-trust-incoming-span", &trust)
	t.Untrusted = !trust
	p.text("opentelemetry-operation-name", &t.Operation)
}
