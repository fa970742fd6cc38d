package trace

import (
	"context"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	api "go.opentelemetry.io/otel/trace"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/policy"
)

// Span is the span of one request. One goroutine uses it.
type Span struct {
	span api.Span
	// Parent and State are the fields traceparent and tracestate of the request to the backend (W3C Trace Context).
	Parent, State []byte
}

// Result is what a span says of how a request went.
type Result struct {
	// Operation names the span; "": the method and the path of the rule.
	Operation string
	// Status is that of the response; 0: there was none.
	Status int
	// Sent is the bytes of the response's body.
	Sent int64
	// Service is the backend's, as namespace/name; "": none was asked.
	Service string
}

// Begin begins the span of a request whose location is known.
func (t *Tracer) Begin(x *policy.Exchange) *Span {
	ctx, fields := context.Background(), propagation.TraceContext{}
	if !x.Location.Settings.Trace.Untrusted {
		ctx = fields.Extract(ctx, received(x.Request.Header))
	}
	s := &Span{}
	ctx, s.span = t.tracer().Start(ctx, "HTTP", api.WithSpanKind(api.SpanKindServer))
	fields.Inject(ctx, s)
	return s
}

// End ends the span; what it says is of x as it is now.
func (s *Span) End(x *policy.Exchange, r Result) {
	if s.span.IsRecording() {
		s.describe(x, r)
	}
	s.span.End()
}

// describe sets the attributes of the semantic conventions for HTTP servers, and those that ingress-nginx gives.
func (s *Span) describe(x *policy.Exchange, r Result) {
	method, known := methodOf(x.Request.Method)
	if r.Operation == "" {
		r.Operation = "HTTP " + x.Location.Path
		if known {
			r.Operation = method + " " + x.Location.Path
		}
	}
	s.span.SetName(valid(r.Operation))
	list := []attribute.KeyValue{
		attribute.String("http.request.method", method),
		attribute.String("http.route", valid(x.Location.Path)),
		attribute.String("url.path", valid(x.Request.Path)),
		attribute.String("url.scheme", x.Scheme),
		attribute.String("server.address", valid(x.Request.Host)),
		attribute.Int("server.port", int(x.Port)),
		attribute.String("client.address", x.Client.String()),
		attribute.String("network.protocol.version", version(x.Request)),
		attribute.String("ingress.namespace", x.Location.Ingress.Namespace),
		attribute.String("ingress.name", x.Location.Ingress.Name),
		attribute.Int64("http.response.body.size", r.Sent),
	}
	if !known {
		list = append(list, attribute.String("http.request.method_original", valid(x.Request.Method)))
	}
	if agent := x.Request.Header.Get("User-Agent"); len(agent) > 0 {
		list = append(list, attribute.String("user_agent.original", valid(string(agent))))
	}
	if r.Service != "" {
		list = append(list, attribute.String("ingress.service_name", r.Service))
	}
	if r.Status > 0 {
		list = append(list, attribute.Int("http.response.status_code", r.Status))
	}
	switch {
	case r.Status == 0:
		s.span.SetStatus(codes.Error, "")
		list = append(list, attribute.String("error.type", "_OTHER"))
	case r.Status >= 500:
		s.span.SetStatus(codes.Error, "")
		list = append(list, attribute.String("error.type", strconv.Itoa(r.Status)))
	}
	s.span.SetAttributes(list...)
}

// valid returns the text without bytes that are not UTF-8, which protobuf refuses, together with all spans of the batch.
func valid(text string) string { return strings.ToValidUTF8(text, "�") }

// methodOf returns a method of RFC 9110 and RFC 5789, else "_OTHER" as the conventions ask for.
func methodOf(method string) (name string, known bool) {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH":
		return method, true
	}
	return "_OTHER", false
}

// version returns that of HTTP, as the conventions write it.
func version(r *message.Request) string {
	if r.Major == 1 {
		return "1." + strconv.Itoa(r.Minor)
	}
	return strconv.Itoa(r.Major)
}

// Get returns what the span has given the backend.
func (s *Span) Get(name string) string {
	if name == "tracestate" {
		return string(s.State)
	}
	return string(s.Parent)
}

// Set keeps a field for the backend.
func (s *Span) Set(name, value string) {
	if name == "tracestate" {
		s.State = []byte(value)
	} else {
		s.Parent = []byte(value)
	}
}

// Keys returns the names of the fields for the backend.
func (s *Span) Keys() []string { return propagation.TraceContext{}.Fields() }

// Owns says whether a field of the client is replaced by ours.
func (s *Span) Owns(name []byte) bool {
	return message.Equal(name, "traceparent") || message.Equal(name, "tracestate")
}

// received are the fields of a client, as the propagator reads them.
type received message.Header

// Get returns the value of a field. A second traceparent makes both worthless; the lists of several tracestate are one
// (W3C Trace Context 3.2, 3.3.1).
func (r received) Get(name string) string {
	var values []string
	for i := range r {
		if message.Equal(r[i].Name, name) {
			values = append(values, string(r[i].Value))
		}
	}
	if len(values) > 1 && name == "traceparent" {
		return ""
	}
	return strings.Join(values, ",")
}

// Set does nothing: what a client has sent stays.
func (received) Set(string, string) {}

// Keys returns the names of all fields.
func (r received) Keys() []string {
	names := make([]string, len(r))
	for i := range r {
		names[i] = string(r[i].Name)
	}
	return names
}
