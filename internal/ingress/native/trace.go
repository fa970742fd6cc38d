package native

import (
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/ingress/trace"
)

// nextTracer returns the tracer by the settings of a new generation: that of the one before, if these are. Else that one sends what it
// has; spans of requests that are still under way with it are lost.
func (e *Engine) nextTracer(before *generation, c settings.Tracing) *trace.Tracer {
	if before != nil {
		if before.table.Global.Tracing == c {
			return before.tracer
		}
		go before.tracer.Close()
	}
	return trace.New(c, e.deps.Log)
}

// closeTracer sends the last spans; no request may be served any more.
func (g *generation) closeTracer() {
	if g != nil {
		g.tracer.Close()
	}
}

// beginSpan begins the span of the request, if it is to have one.
func (e *exchange) beginSpan() {
	if t := e.generation.tracer; t != nil && e.x.Location.Settings.Trace.On {
		e.span = t.Begin(&e.x)
	}
}

// endSpan ends the span of the request, if it has one.
func (e *exchange) endSpan() {
	if e.span == nil {
		return
	}
	r := trace.Result{Operation: e.operation(), Status: e.record.status, Sent: e.record.sent}
	if b := e.record.backend; b != nil {
		r.Service = b.Key.Service.String()
	}
	e.span.End(&e.x, r)
}

// operation returns what the span is called by the Ingress or the ConfigMap, of which only the latter can have variables.
func (e *exchange) operation() string {
	name := e.x.Location.Settings.Trace.Operation
	if !strings.Contains(name, "$") {
		return name
	}
	line := e.generation.operation.append(e, nil)
	return string(line[:len(line)-1])
}
