package native

import (
	"crypto/tls"

	"github.com/switchyard-net/switchyard/internal/ingress/http1"
	"github.com/switchyard-net/switchyard/internal/ingress/http2"
	"github.com/switchyard-net/switchyard/internal/ingress/policy"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/ingress/trace"
)

// generation is a table in force, and what follows from it. It is immutable.
type generation struct {
	table *route.Table
	entry *policy.Entry
	http1 http1.Limits
	http2 http2.Limits
	tls   *tls.Config
	log   *logFormat
	// tracer is nil where no request can be traced; operation is what spans are called by the ConfigMap.
	tracer    *trace.Tracer
	operation *logFormat
}

// next returns the generation of a table. What follows from the settings of the whole entry is that of the one before, if these are.
func (e *Engine) next(before *generation, t *route.Table) *generation {
	g := &generation{table: t}
	if before != nil && before.table.Global == t.Global {
		g.entry, g.http1, g.http2, g.log, g.tls = before.entry, before.http1, before.http2, before.log, before.tls
		g.tracer, g.operation = before.tracer, before.operation
	} else {
		g.entry = policy.NewEntry(t.Global, e.state, e.config.Public)
		g.http1, g.http2 = limits(t.Global)
		g.tls = e.serverTLS(t.Global)
		g.log = newLogFormat(t.Global.Log.Format, t.Global.Log.JSON)
		g.operation = newLogFormat(t.Global.Defaults.Trace.Operation, false)
		g.tracer = e.nextTracer(before, t.Global.Tracing)
	}
	return g
}

// limits returns those of connections.
func limits(g *settings.Global) (http1.Limits, http2.Limits) {
	c := &g.Client
	one := http1.Limits{
		Head: int(c.HeaderBytes), Line: int(c.Line), Requests: c.KeepAliveRequests,
		Idle: c.KeepAlive, Header: c.HeaderTimeout, Read: c.BodyTimeout, Send: g.Defaults.Proxy.Send,
	}
	two := http2.Limits{
		Streams: c.Streams, HeaderList: int(c.HeaderBytes), Requests: c.KeepAliveRequests,
		Idle: c.KeepAlive, Header: c.HeaderTimeout, Read: c.BodyTimeout, Send: g.Defaults.Proxy.Send,
	}
	return one.WithDefaults(), two
}
