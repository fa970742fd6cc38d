package native

import (
	"errors"
	"io"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

// relay sends the endpoint's response to the client.
func (a *attempt) relay(u *upstream) {
	e := a.e
	r := &u.Response
	if r.Status == 101 {
		e.tunnel(u)
		return
	}
	if page := e.policy.Intercept(&e.x, r.Status); page != nil {
		status := r.Status
		e.keepOrClose(u)
		if !e.page(page, status) {
			e.own.Status = status
			e.send(nil)
		}
		return
	}
	e.policy.Response(&e.x, r)
	e.relayAs(u, r.Status)
}

// relayAs sends what has come of a response, and all that comes, with a status.
func (e *exchange) relayAs(u *upstream, status int) {
	r := &u.Response
	r.Status = status
	end := u.Ended()
	if e.respond(r, end); !end {
		if err := e.copy(u); err != nil {
			e.stream.Abort()
		} else if !e.record.broken {
			_ = e.stream.End(u.Trailer())
		}
	}
	e.keepOrClose(u)
}

// copy sends the body. Its error is the endpoint's: the client is to see that something is missing.
func (e *exchange) copy(u *upstream) error {
	paced := e.x.Pacer.Rate > 0
	if !u.Buffered() && e.stream.Flush() != nil { // the head does not wait for a body that may take its time
		e.record.broken = true
	}
	for !e.record.broken {
		p, err := u.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if paced {
			err = e.pace(p)
		} else {
			err = e.write(p)
		}
		if err != nil || u.Ended() {
			return nil
		}
		if !u.Buffered() && e.stream.Flush() != nil {
			e.record.broken = true
		}
	}
	return nil
}

// pace sends a piece as fast as the client may have it.
func (e *exchange) pace(p []byte) error {
	for len(p) > 0 {
		n, wait := e.x.Pacer.Allow(len(p), e.w.loop.Now())
		if wait > 0 {
			if err := e.stream.Flush(); err != nil {
				e.record.broken = true
				return err
			}
			e.task.Sleep(min(wait, time.Second))
			continue
		}
		if err := e.write(p[:n]); err != nil {
			return err
		}
		e.x.Pacer.Sent(n)
		p = p[n:]
	}
	return nil
}

// keepOrClose ends the use of a connection to an endpoint.
func (e *exchange) keepOrClose(u *upstream) {
	e.passed()
	e.upstream = nil
	if u.Done() && !e.record.broken {
		e.w.idle.put(u, e.w.loop.Elapsed(), &e.generation.table.Global.Upstream)
	} else {
		u.Close()
	}
}

// page answers with an error page of a backend instead of a response with status. It returns false if there is none to be had.
func (e *exchange) page(b *route.Backend, status int) bool {
	group := e.group(b)
	endpoint := e.policy.Pick(&e.x, group)
	if endpoint == nil {
		return false
	}
	e.passed()
	length, kept := e.request.Length, e.body.whole
	e.request.Length, e.body.whole = 0, false // the page is asked for without a body
	defer func() { e.request.Length, e.body.whole = length, kept }()
	a := attempt{e: e, backend: b, group: group, endpoint: endpoint, last: true}
	endpoint.Begin()
	a.began = e.w.loop.Elapsed()
	u, err := a.connect(true)
	if err == nil {
		err = a.exchange(u)
	}
	if err == nil && u.Response.Status == 101 {
		err = errUnasked
	}
	if err != nil {
		a.failed(u, err)
		return false
	}
	e.policy.Response(&e.x, &u.Response)
	e.relayAs(u, e.x.PageStatus(status, u.Response.Status))
	a.group.End(a.endpoint, 0, e.w.loop.Elapsed()-a.began, e.w.loop.Now())
	return true
}

// tunnel passes bytes both ways, after the endpoint has changed its protocol.
func (e *exchange) tunnel(u *upstream) {
	u.Tunnel()
	e.policy.Response(&e.x, &u.Response)
	e.respond(&u.Response, false)
	if e.record.broken || e.stream.Hijack() != nil {
		u.Close()
		return
	}
	t := tunnel{e: e, u: u, limit: e.x.Location.Settings.Proxy.Read, active: e.w.loop.Elapsed()}
	t.run()
}
