package native

import (
	"bytes"
	"io"
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
	result := grpc.Relay(e.task, &callBody{e: e}, e.stream, call, func(r *message.Response) {
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
	return e.w.calls.Get(e.task, key, func(t *loop.Task) (http2.Dialed, error) {
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

// callBody is the body of a request to an endpoint that speaks HTTP/2: what was kept of it, or what comes, up to its limit.
type callBody struct {
	e  *exchange
	at int64
}

func (b *callBody) Read() ([]byte, error) {
	e := b.e
	if e.body.whole {
		return b.kept()
	}
	p, err := e.stream.Read()
	if err != nil {
		return nil, err
	}
	e.record.received += int64(len(p))
	if limit := e.x.Location.Settings.Proxy.MaxBody; limit > 0 && e.record.received > limit {
		return nil, errTooLong
	}
	return p, nil
}

// kept returns a piece of the body that was kept.
func (b *callBody) kept() (p []byte, err error) {
	body := &b.e.body
	switch {
	case b.at >= body.size:
		return nil, io.EOF
	case body.file == nil:
		b.at = body.size
		return body.memory, nil
	}
	p = make([]byte, filePiece)
	var n int
	b.e.task.Loop().Running().Await(func() { n, err = body.file.ReadAt(p, b.at) })
	if n == 0 {
		return nil, err
	}
	b.at += int64(n)
	return p[:n], nil
}

// Trailer returns the fields after the body.
func (b *callBody) Trailer() message.Header { return b.e.stream.Trailer() }

// Interrupt ends a Read that waits.
func (b *callBody) Interrupt() { b.e.stream.Interrupt() }

// sendStatus sends an answer of our own to a call of gRPC, whose clients look for more than the status of HTTP.
func (e *exchange) sendStatus() {
	r := grpc.Answer(e.own.Status, http.StatusText(e.own.Status))
	r.Header = append(r.Header, e.own.Header...)
	e.policy.Response(&e.x, r)
	e.respond(r, true)
}
