package native

import (
	"bytes"
	"net/http"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/grpc"
	"github.com/switchyard-net/switchyard/internal/ingress/http2"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// speaksGRPC says whether the endpoints of a backend speak HTTP/2. Requests to them are passed on as they come, as calls may be
// streams.
func speaksGRPC(b *route.Backend) bool {
	return b.Upstream.Protocol == settings.GRPC || b.Upstream.Protocol == settings.GRPCS
}

// grpc makes the attempt with an endpoint that speaks HTTP/2.
func (a *attempt) grpc() verdict {
	e := a.e
	a.endpoint.Begin()
	a.began = e.w.loop.Elapsed()
	client, err := a.client()
	if err != nil {
		return a.failed(nil, err)
	}
	a.sent = true
	took := a.began
	call := client.Do(e.callHead(a.backend.Upstream.Protocol == settings.GRPCS), false)
	body := e.body.forCall(e)
	result := grpc.Relay(e.task, body, e.stream, call, func(r *message.Response) {
		body.forget()
		took = e.w.loop.Elapsed() - a.began
		e.record.add(a.endpoint, r.Status, took)
		e.policy.Response(&e.x, r)
		if !r.Header.Has("Date") {
			r.Header.Add(dateName, e.w.dateNow())
		}
		e.record.status = r.Status
	})
	e.record.sent += result.Received
	switch {
	case result.Responded:
		if e.record.status == 0 {
			e.record.status = 502 // it was reset
		}
		e.record.broken = result.Client
		a.group.End(a.endpoint, balance.OK, took, e.w.loop.Now())
		return finished
	case result.Client:
		e.passing.err = result.Err
	case http2.Unprocessed(result.Err) && body.rewind():
		a.sent = false
	}
	return a.failed(nil, result.Err)
}

// client returns a connection to the endpoint with room for one more call.
func (a *attempt) client() (*http2.Client, error) {
	e := a.e
	secure, err := e.secured(a.backend)
	if err != nil {
		return nil, err
	}
	key := http2.Key{Addr: a.endpoint.Addr}
	if secure != nil {
		secure = secure.forHTTP2()
		key.Way = secure
	}
	limit := e.x.Location.Settings.Proxy.Connect
	return e.w.calls.Get(e.task, key, limit, func(t *loop.Task) (http2.Dialed, error) {
		raw, err := t.Dial(key.Addr, limit)
		if err != nil {
			return http2.Dialed{}, err
		}
		d := http2.Dialed{Raw: raw, Conn: raw}
		if secure == nil {
			raw.Queue()
			return d, nil
		}
		if d.Conn, err = secure.handshake(e, raw, limit); err != nil {
			_ = raw.Close()
		}
		return d, err
	})
}

// callHead returns the head of the request as the backend gets it.
func (e *exchange) callHead(secure bool) *http2.Head {
	p := &e.x.Location.Settings.Proxy
	h := &http2.Head{
		Method: e.x.Method, TLS: secure, Authority: e.x.HostField, Target: e.x.Target, Length: e.request.Length, Trailers: true,
		Read: p.Read, Send: p.Send,
	}
	if e.body.whole {
		h.Length = e.body.size
	}
	_, rest, _ := bytes.Cut(e.appendHead(nil, true), []byte("\r\n"))
	for len(rest) > 2 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(": "))
		if !message.Equal(name, "host") && !message.Equal(name, "content-length") {
			h.Header.Add(name, value) // HTTP/2 leaves out what is about connections
		}
	}
	return h
}

// sendStatus sends an answer of our own to a call of gRPC, whose clients look for more than the status of HTTP.
func (e *exchange) sendStatus() {
	r := grpc.Answer(e.own.Status, http.StatusText(e.own.Status))
	r.Header = append(r.Header, e.own.Header...)
	e.policy.Response(&e.x, r)
	e.respond(r, true)
}
